import type { VerbContext } from "../context.ts";
import { table } from "../tables.ts";

export async function get(c: VerbContext): Promise<void> {
  const setting = await (await c.client()).call("config.get", { params: { key: c.arg("KEY") } });
  c.out.result(setting, () => `${valueText(setting.value)}\n`);
}

export async function set(c: VerbContext): Promise<void> {
  const setting = await (
    await c.client()
  ).call("config.set", { params: { key: c.arg("KEY") }, body: { value: readValue(c.arg("VALUE")) } });
  c.out.result(
    setting,
    () =>
      `${setting.key} = ${valueText(setting.value)}${setting.restartNeeded === true ? "  (counts when the daemon starts again)" : ""}\n`,
  );
}

export async function unset(c: VerbContext): Promise<void> {
  const setting = await (await c.client()).call("config.unset", { params: { key: c.arg("KEY") } });
  c.out.result(
    setting,
    () =>
      `${setting.key} = ${valueText(setting.value)}  (${setting.source})${setting.restartNeeded === true ? "  (counts when the daemon starts again)" : ""}\n`,
  );
}

export async function show(c: VerbContext): Promise<void> {
  const answer = await (await c.client()).call("config.show");
  c.out.result(answer, () => {
    const rows = answer.settings.map((s) => [s.key, valueText(s.value), s.source, s.summary ?? ""]);
    return `${answer.file === undefined ? "" : `# ${answer.file}\n`}${table(["KEY", "VALUE", "SOURCE", "MEANING"], rows)}`;
  });
}

/** A value as one would write it in the file: numbers, true, lists; anything else is text. */
function readValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function valueText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
