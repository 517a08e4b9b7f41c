import * as fs from "node:fs";
import { open, opendir } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { linkText } from "../sys/directory-entries.ts";
import { isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { openat2, pathOnly, resolve } from "../sys/openat2.ts";
import { reopenPath, type Rooted } from "./rooted.ts";

/** Something below a directory, by its path from there: bytes without a leading slash. */
export type Walked = {
  path: Buffer;
  stats: fs.BigIntStats;
  /** What is in it, at most so many bytes; undefined when it is gone, is no plain file, or may not be read. */
  read(limitBytes: number): Promise<Buffer | undefined>;
  /** Where a link says it leads; undefined when it is gone or is none. */
  link(): Buffer | undefined;
};

export type WalkOptions = {
  /** Whether to look into a directory; it is asked after the directory itself was given. */
  enter(path: Buffer): boolean;
  /** Directories below one another at most; what is deeper is passed over and told. */
  deepest: number;
  onDeep(path: Buffer): void;
};

/**
 * Everything below a directory that others write into, names in the order of their bytes. Each directory is held open while it is
 * read, and neither links nor mounts are passed, so that nothing outside is ever seen, whatever is moved about meanwhile. Only plain
 * files are opened. An entry must be used before the next is asked for.
 * @throws KernelError
 */
export async function* walkBelow(root: Rooted, o: WalkOptions): AsyncGenerator<Walked> {
  using top = root.hold(Buffer.from("/"));
  yield* walkDirectory({ directory: top.fd, above: Buffer.alloc(0), depth: 0 }, o);
}

type Level = { directory: Fd; above: Buffer; depth: number };

async function* walkDirectory({ directory, above, depth }: Level, o: WalkOptions): AsyncGenerator<Walked> {
  let count = 0;
  for (const name of await namesIn(directory)) {
    if (++count % atOnce === 0) await turn();
    const path = Buffer.concat([above, name]);
    const stats = statAt(directory, name);
    if (stats === undefined) continue;
    yield { path, stats, read: (limitBytes) => readPlain(directory, name, limitBytes), link: () => linkAt(directory, name) };
    if (!stats.isDirectory() || !o.enter(path)) continue;
    if (depth >= o.deepest) {
      o.onDeep(path);
      continue;
    }
    using below = childOf(directory, name);
    if (below !== undefined) yield* walkDirectory({ directory: below, above: Buffer.concat([path, slash]), depth: depth + 1 }, o);
  }
}

async function namesIn(directory: Fd): Promise<Buffer[]> {
  const names: Buffer[] = [];
  try {
    const listing = await opendir(reopenPath(directory), { encoding: "buffer" as BufferEncoding, bufferSize: 1024 });
    for await (const { name } of listing as unknown as AsyncIterable<{ name: Buffer }>) names.push(name);
  } catch (error) {
    // An ordinary user's daemon may meet a directory that was closed to it.
    if (!(error instanceof Error && "code" in error && error.code === "EACCES")) throw error;
  }
  return names.toSorted((a, b) => a.compare(b));
}

function statAt(directory: Fd, name: Buffer): fs.BigIntStats | undefined {
  try {
    return fs.lstatSync(Buffer.concat([Buffer.from(`${reopenPath(directory)}/`), name]), { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Held before it is opened: what has the name now may be a pipe, which would keep us waiting, or a device. */
async function readPlain(directory: Fd, name: Buffer, limitBytes: number): Promise<Buffer | undefined> {
  using held = hold(directory, name, pathOnly);
  if (held === undefined) return undefined;
  const stats = fs.fstatSync(held.number);
  if (!stats.isFile()) return undefined;
  // One more than it says to have, so that growing shows.
  const buffer = Buffer.allocUnsafe(Math.min(limitBytes, stats.size + 1));
  try {
    // What is small is read before a thread could be woken for it.
    return buffer.length <= smallBytes ? readNow(held, buffer) : await readLater(held, buffer);
  } catch (error) {
    if (error instanceof Error && "code" in error && ["EACCES", "EPERM", "EAGAIN"].includes(String(error.code))) return undefined;
    throw error;
  }
}

function readNow(held: Fd, buffer: Buffer): Buffer {
  const fd = fs.openSync(reopenPath(held), readFlags);
  try {
    let size = 0;
    for (let read = -1; read !== 0 && size < buffer.length; size += read) read = fs.readSync(fd, buffer, size, buffer.length - size, size);
    return buffer.subarray(0, size);
  } finally {
    fs.closeSync(fd);
  }
}

async function readLater(held: Fd, buffer: Buffer): Promise<Buffer> {
  await using file = await open(reopenPath(held), readFlags);
  let size = 0;
  for (let read = -1; read !== 0 && size < buffer.length; size += read)
    read = (await file.read(buffer, size, buffer.length - size, size)).bytesRead;
  return buffer.subarray(0, size);
}

function linkAt(directory: Fd, name: Buffer): Buffer | undefined {
  using held = hold(directory, name, pathOnly);
  return held !== undefined && fs.fstatSync(held.number).isSymbolicLink() ? linkText(held) : undefined;
}

function childOf(directory: Fd, name: Buffer): Fd | undefined {
  return hold(directory, name, pathOnly | fs.constants.O_DIRECTORY);
}

function hold(directory: Fd, name: Buffer, flags: number): Fd | undefined {
  try {
    return openat2(directory, name, { flags: flags | fs.constants.O_NOFOLLOW, walk: resolve.noMounts | resolve.noMagicLinks });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EXDEV", "EACCES")) return undefined;
    throw error;
  }
}

const slash = Buffer.from("/");
const readFlags = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY;
const smallBytes = 128 * 1024;
/** Entries between two turns of everything else in this process. */
const atOnce = 64;
