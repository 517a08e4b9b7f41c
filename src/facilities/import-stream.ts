import { NexusError } from "../base/errors.ts";
import type { LeftOut } from "./left-out.ts";
import { mostBytes, mostFileBytes, type Surveyed } from "./survey.ts";

/** What was known of each file: by its key, how git has it and what it looked like. */
export type Manifest = Map<string, { mode: Surveyed["mode"]; signature: string }>;

/** One commit, made of what changed since another, as git-fast-import(1) reads it. */
export type ImportOptions = {
  files: AsyncIterable<Surveyed>;
  /** What the commit before has, by the name of its ref. */
  before?: { manifest: Manifest; from: string };
  ref: string;
  leftOut: LeftOut;
  /** Filled with what is there now. */
  now: Manifest;
};

/**
 * The stream. Contents are read here, through descriptors that lead nowhere else: git itself never sees the workspace, and so neither
 * its attributes nor its configuration, hooks, index or nested repositories.
 */
export async function* importStream({ files, before, ref, leftOut, now }: ImportOptions): AsyncGenerator<Uint8Array> {
  yield Buffer.from(
    `feature done\ncommit ${ref}\ncommitter nexus <nexus> 0 +0000\ndata 0\n${before === undefined ? "" : `from ${before.from}\n`}`,
  );
  const directories = new Set<string>();
  let bytes = 0;
  for await (const file of files) {
    const { key, mode, signature, path } = file;
    now.set(key, { mode, signature });
    for (let cut = key.lastIndexOf("/"); cut > 0 && !directories.has(key.slice(0, cut)); cut = key.lastIndexOf("/", cut - 1))
      directories.add(key.slice(0, cut));
    const known = before?.manifest.get(key);
    if (known !== undefined && known.mode === mode && known.signature === signature && signature !== "") continue;
    if (mode === "large") {
      leftOut.add(path, `has ${file.stats.size} bytes, more than ${mostFileBytes}`);
      continue;
    }
    const content = mode === "120000" ? file.link() : await contentOf(file);
    if (content === undefined) {
      leftOut.add(path, "could not be read, or was changing");
      continue;
    }
    bytes += content.length;
    if (bytes > mostBytes)
      throw new NexusError("too-large", `more than ${mostBytes} bytes have changed`, { hint: "look into it by a command inside" });
    yield Buffer.concat([Buffer.from(`M ${mode} inline ${quoted(path)}\ndata ${content.length}\n`), content, newline]);
  }
  for (const [key, { mode }] of before?.manifest ?? [])
    if (mode !== "large" && !now.has(key) && !directories.has(key)) yield Buffer.from(`D ${quoted(Buffer.from(key, "latin1"))}\n`);
  yield Buffer.from("done\n");
}

/** Undefined also for what has grown meanwhile: it is being written. */
async function contentOf(file: Surveyed): Promise<Buffer | undefined> {
  const size = Number(file.stats.size);
  const content = await file.read(size + 1);
  return content === undefined || content.length > size ? undefined : content;
}

/** As C quotes a text, every byte but plain ones in octal. */
export function quoted(path: Buffer): string {
  let text = '"';
  for (const byte of path)
    text +=
      byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c ? `\\${byte.toString(8).padStart(3, "0")}` : String.fromCharCode(byte);
  return `${text}"`;
}

const newline = Buffer.from("\n");
