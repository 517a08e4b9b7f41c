import { unreachable } from "../base/exhaustive.ts";

/** A file of an initial RAM file system; the path has no leading slash. */
export type CpioEntry =
  | { path: string; kind: "directory"; mode: number }
  | { path: string; kind: "file"; mode: number; content: Uint8Array }
  | { path: string; kind: "link"; target: string }
  | { path: string; kind: "character-device"; mode: number; major: number; minor: number };

/**
 * An archive in the kernel's initramfs format: "newc" cpio (Documentation/driver-api/early-userspace/buffer-format.rst). The
 * same entries give the same bytes. Directories must come before what is in them, for the kernel makes none by itself.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  entries.forEach((entry, i) => parts.push(...record(entry, i + 1)));
  parts.push(...pieces("TRAILER!!!", { inode: 0, mode: 0, links: 1, rdev: [0, 0] }, new Uint8Array()));
  return Buffer.concat(parts);
}

/** The directories above every entry, outermost first, that are not among them. */
export function withParents(entries: readonly CpioEntry[]): CpioEntry[] {
  const there = new Set<string>();
  return entries.flatMap((entry) => {
    const above = entry.path.split("/").slice(0, -1);
    const missing = above.map((_, i) => above.slice(0, i + 1).join("/")).filter((path) => !there.has(path));
    for (const path of [...missing, entry.path]) there.add(path);
    return [...missing.map((path): CpioEntry => ({ path, kind: "directory", mode: 0o755 })), entry];
  });
}

type Inode = { inode: number; mode: number; links: number; rdev: [major: number, minor: number] };

/** Kinds of file in st_mode (inode(7)). */
const kindBits = { directory: 0o040000, file: 0o100000, link: 0o120000, "character-device": 0o020000 } as const;

function record(entry: CpioEntry, inode: number): Uint8Array[] {
  const base: Inode = { inode, mode: kindBits[entry.kind], links: 1, rdev: [0, 0] };
  switch (entry.kind) {
    case "directory":
      return pieces(entry.path, { ...base, mode: base.mode | entry.mode, links: 2 }, new Uint8Array());
    case "file":
      return pieces(entry.path, { ...base, mode: base.mode | entry.mode }, entry.content);
    case "link":
      return pieces(entry.path, { ...base, mode: base.mode | 0o777 }, Buffer.from(entry.target));
    case "character-device":
      return pieces(entry.path, { ...base, mode: base.mode | entry.mode, rdev: [entry.major, entry.minor] }, new Uint8Array());
    default:
      return unreachable(entry);
  }
}

function pieces(path: string, file: Inode, content: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // Owner, group and time are nought, and the check sum is not used by this kind.
  const fields = [file.inode, file.mode, 0, 0, file.links, 0, content.length, 0, 0, ...file.rdev, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
