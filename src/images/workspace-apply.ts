import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  opendirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, normalize } from "node:path";
import tar from "tar-stream";

/*
 * A process of its own, with the rights of a workspace's owner: makes the directory in its argument what the archive on its
 * input says. Parents come before what is in them. What is the same is left alone; what is not in the archive is removed.
 *
 * It goes by paths, which the owner may exchange meanwhile: that gains nothing, for it has no right (uid, gid, no further groups) that
 * the owner has not.
 */

const root = process.argv[2] ?? "";
const kept = new Set<string>([""]);

if (!import.meta.main || !root.startsWith("/")) throw new Error("this is run by Nexus");
for await (const entry of process.stdin.pipe(tar.extract())) {
  const { name, type, mode, mtime } = entry.header;
  const path = normalize(name).replace(/\/$/, "");
  if (path.startsWith("/") || path === ".." || path.startsWith("../") || !kept.has(dirname(path) === "." ? "" : dirname(path)))
    throw new Error(`${JSON.stringify(name)} is not inside`);
  kept.add(path);
  if (type === "directory") makeDirectory(join(root, path), mode);
  else if (type === "symlink") makeLink(join(root, path), entry.header.linkname ?? "");
  else if (type === "file") await makeFile(join(root, path), { mode, mtime: mtime ?? new Date() }, entry);
  entry.resume();
}
removeOthers("");

function makeDirectory(path: string, mode: number): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory() === true) {
    if ((there.mode & 0o7777) !== mode) chmodSync(path, mode | 0o700);
    return;
  }
  if (there !== undefined) rmSync(path);
  mkdirSync(path, { mode: mode | 0o700 });
}

function makeLink(path: string, target: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isSymbolicLink() === true && readlinkSync(path) === target) return;
  if (there !== undefined) rmSync(path, { recursive: true });
  symlinkSync(target, path);
}

async function makeFile(path: string, file: { mode: number; mtime: Date }, bytes: AsyncIterable<unknown>): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  const before = there?.isFile() === true ? openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) : undefined;
  const beside = join(dirname(path), `.nexus-${randomUUID()}`);
  const after = openSync(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    let same = before !== undefined && ((there?.mode ?? 0) & 0o7777) === file.mode;
    let size = 0;
    for await (const some of bytes) {
      const piece = some as Buffer;
      same = same && before !== undefined && equals(before, piece, size);
      for (let at = 0; at < piece.length;) at += writeSync(after, piece, at);
      size += piece.length;
    }
    if (same && there?.size === size) return rmSync(beside);
    fchmodSync(after, file.mode);
    futimesSync(after, file.mtime, file.mtime);
    if (there?.isDirectory() === true) rmSync(path, { recursive: true });
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  } finally {
    closeSync(after);
    if (before !== undefined) closeSync(before);
  }
}

function equals(fd: number, piece: Buffer, from: number): boolean {
  const there = Buffer.allocUnsafe(piece.length);
  let at = 0;
  while (at < piece.length) {
    const n = readSync(fd, there, at, piece.length - at, from + at);
    if (n === 0) return false;
    at += n;
  }
  return there.equals(piece);
}

function removeOthers(below: string): void {
  using listing = opendirSync(join(root, below));
  for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) {
    const path = join(below, entry.name);
    if (!kept.has(path)) rmSync(join(root, path), { recursive: true });
    else if (entry.isDirectory()) removeOthers(path);
  }
}
