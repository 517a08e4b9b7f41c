import { WireError } from "../base/errors.ts";
import type { FileKind, FileView } from "../spec/views.ts";
import { nameOf } from "./guest-files.ts";

/**
 * What a guest's stat(1) said of files, and their names: a line `MODE SIZE SECONDS` of each (mode in hexadecimal), a NUL, then as many
 * names, each ended by a NUL. Empty is no files.
 * @throws WireError for anything else: it is the guest's word
 */
export function readEntries(bytes: Buffer): FileView[] {
  if (bytes.length === 0) return [];
  const middle = bytes.indexOf(0);
  if (middle === -1 || bytes.at(-1) !== 0) throw new WireError("list of files", "cut off");
  const lines = bytes.subarray(0, middle).toString("latin1").trimEnd().split("\n");
  const names = namesIn(bytes.subarray(middle + 1));
  if (names.length !== lines.length) throw new WireError("list of files", `${lines.length} files and ${names.length} names`);
  return lines.map((line, i) => entryOf(line, names[i] ?? Buffer.alloc(0)));
}

function entryOf(line: string, name: Buffer): FileView {
  const [, modeText, sizeText, secondsText] = /^([0-9a-f]{1,8}) (\d{1,16}) (-?\d{1,12})$/.exec(line) ?? [];
  if (modeText === undefined || name.length === 0 || name.includes(0x2f))
    throw new WireError("list of files", `not understood: ${JSON.stringify(line.slice(0, 80))}`);
  const mode = Number.parseInt(modeText, 16);
  const modified = new Date(Number(secondsText) * 1000);
  return {
    ...nameOf(name),
    kind: kinds.get(mode & 0o170000) ?? "device",
    sizeBytes: Number(sizeText),
    mode: mode & 0o7777,
    modifiedAt: Number.isNaN(modified.getTime()) ? new Date(0).toISOString() : modified.toISOString(),
  };
}

function namesIn(bytes: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0, at);
    names.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return names;
}

/** inode(7), S_IFMT. */
const kinds: ReadonlyMap<number, FileKind> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "link"],
  [0o010000, "pipe"],
  [0o140000, "socket"],
]);
