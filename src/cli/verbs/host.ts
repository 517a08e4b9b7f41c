import type { VerbContext } from "../context.ts";
import { columns } from "../tables.ts";

/** With a file, what applying it would do; without, what a reconcile would repair. */
export async function plan(c: VerbContext): Promise<void> {
  const client = await c.client();
  const file = c.arg("FILE");
  const answer = file === "" ? await client.call("plan.pending") : await client.call("plan.preview", { body: await specFrom(file) });
  c.out.result(answer, () => (answer.steps.length === 0 ? "nothing would change\n" : `${answer.steps.join("\n")}\n`));
}

export async function reconcile(c: VerbContext): Promise<void> {
  const answer = await (await c.client()).call("reconcile");
  c.out.result(answer, () => (answer.steps.length === 0 ? "nothing differed\n" : `${answer.steps.join("\n")}\n`));
}

export async function events(c: VerbContext): Promise<void> {
  const follow = c.flags.on("follow");
  const signal = follow ? c.interrupted() : undefined;
  const query = { follow, ...(c.flags.text("since") === undefined ? {} : { since: c.flags.number("since", "whole") ?? 0 }) };
  const client = await c.client();
  try {
    for await (const event of await client.events("event.list", { query }, signal === undefined ? {} : { signal })) {
      c.out.item(event, () => columns([[event.at, String(event.id), event.kind, event.subject, event.message]]));
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

/** Ends with 1 when a check failed. */
export async function doctor(c: VerbContext): Promise<number> {
  const answer = await (await c.client()).call("doctor");
  c.out.result(answer, () =>
    answer.checks.map((check) => columns([[check.state.padEnd(4), check.name, check.found]]) + (check.remedy === undefined ? "" : `      ${check.remedy}\n`)).join(""),
  );
  return answer.checks.some((check) => check.state === "fail") ? 1 : 0;
}

type Preview = { networks?: { name: string }[]; nodes?: { name: string }[] };

/** The file is sent as it is; the daemon checks it and lists every fault. */
async function specFrom(file: string): Promise<Preview> {
  const { readFile } = await import("node:fs/promises");
  const { parse } = await import("yaml");
  const { NexusError } = await import("../../base/errors.ts");
  try {
    return parse(file === "-" ? await standardInput() : await readFile(file, "utf8")) as Preview;
  } catch (error) {
    throw new NexusError("usage", `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function standardInput(): Promise<string> {
  const { text } = await import("node:stream/consumers");
  return text(process.stdin);
}
