import { lstat, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { VerbContext } from "../context.ts";
import { localPlace } from "../copy/local-place.ts";
import { checkedName, plainName } from "../copy/place.ts";
import { bytesText } from "../figures.ts";
import { columns } from "../tables.ts";
import { NexusError } from "../../base/errors.ts";
import type { FacilityDiffView, LeftOutView } from "../../spec/views.ts";
import { parseSize } from "../../spec/flags.ts";

export async function diff(c: VerbContext): Promise<void> {
  const { flags } = c;
  const limit = flags.text("limit");
  const query = {
    ...sinceOf(c),
    ...(flags.on("stat") ? { limit: 0 } : limit === undefined ? {} : { limit: parseSize("--limit", limit) }),
  };
  const signal = c.interrupted();
  const found = await (await c.client()).call("facility.diff", { params: { name: c.arg("NAME") }, query }, { signal });
  const file = flags.text("output");
  const patch = Buffer.from(found.patch, "base64");
  if (file !== undefined) await writeFile(file, patch);
  if (flags.on("stat")) {
    // No patch was asked for; that it is not whole says nothing about the list.
    const { patch: _none, truncated: _cut, ...list } = found;
    c.out.result(list, () => statText(found));
  } else if (c.out.json) c.out.result(found, () => "");
  else if (file === undefined) c.io.stdout.write(patch);
  tellLeftOut(c, found);
  if (found.truncated && !flags.on("stat"))
    c.out.note("nexus: the patch is not whole: it ends with the last whole file that fits; --limit takes more, --stat lists all files");
}

/** Copies with the rights of whoever asks: what the daemon gives are names and bytes. */
export async function artifacts(c: VerbContext): Promise<void> {
  const to = c.flags.text("to");
  if (to === undefined || c.rest.length === 0)
    throw new NexusError("usage", `nexus facility artifacts: ${to === undefined ? "--to DIR" : "GLOB"} is missing`, {
      hint: `for example: ${c.command.example}`,
    });
  const signal = c.interrupted();
  const client = await c.client();
  const params = { name: c.arg("NAME") };
  const found = await client.call("facility.artifacts", { params, body: { globs: c.rest } }, { signal });
  using progress = c.progress();
  await mkdir(to, { recursive: true });
  let bytes = 0;
  for (const { path, sizeBytes, mode } of found.files) {
    signal.throwIfAborted();
    progress.show(`${plainName(path)}  ${bytesText(sizeBytes)}`);
    const target = await placeBelow(resolve(to), path);
    // Not more than it had: it may be growing while it is read.
    const query = { path, limit: sizeBytes };
    await localPlace.write(target, sizeBytes === 0 ? nothing() : await client.bytes("facility.read", { params, query }, { signal }), mode);
    bytes += sizeBytes;
  }
  progress[Symbol.dispose]();
  if (found.files.length === 0) c.out.note(`nexus: nothing in ${params.name} matches ${c.rest.map(plainName).join(" ")}`);
  c.out.result({ ...found, bytes }, () => found.files.map(({ path }) => `${plainName(path)}\n`).join(""));
  tellLeftOut(c, found);
}

/** The directories of a path are made below another; a link among them would lead elsewhere. @throws NexusError wrong-state, wire-invalid */
async function placeBelow(directory: string, path: string): Promise<string> {
  let at = directory;
  const names = path.split("/").map(checkedName);
  for (const name of names.slice(0, -1)) {
    at = join(at, name);
    await mkdir(at).catch((error: unknown) => {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    });
    if (!(await lstat(at)).isDirectory()) throw new NexusError("wrong-state", `${at} is there and is no directory`);
  }
  const target = join(at, names.at(-1) ?? "");
  const there = await lstat(target).catch(() => undefined);
  if (there !== undefined && !there.isFile()) throw new NexusError("wrong-state", `${target} is there and is no file`);
  if (!target.startsWith(`${directory}/`) || dirname(target) !== at)
    throw new NexusError("internal", `${target} is not below ${directory}`);
  return target;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function sinceOf(c: VerbContext): { since?: "create" | "run" } {
  const since = c.flags.text("since");
  if (since === undefined) return {};
  if (since !== "create" && since !== "run") throw new NexusError("usage", `--since takes create or run, not "${since}"`);
  return { since };
}

function statText({ files }: FacilityDiffView): string {
  return columns(
    files.map(({ path, added, removed }) => [
      added === undefined ? "binary" : `+${added}`,
      removed === undefined ? "" : `-${removed}`,
      plainName(path),
    ]),
  );
}

function tellLeftOut(c: VerbContext, { leftOut, leftOutCount }: LeftOutView): void {
  for (const { path, why } of leftOut) c.out.note(`nexus: left out: ${plainName(path)} ${why}`);
  if (leftOutCount > leftOut.length) c.out.note(`nexus: left out: ${leftOutCount - leftOut.length} more`);
}
