import * as fs from "node:fs";
import { type FileHandle, open, opendir } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { NexusError } from "../base/errors.ts";
import { makeDirectoryAt, removeDirectoryAt, renameAt, unlinkAt } from "../sys/directory-entries.ts";
import { isErrno } from "../sys/errno.ts";
import { openat2, resolve } from "../sys/openat2.ts";
import { type Held, isMountPoint, refuseKernelFiles, reopenPath, type Rooted, type Spot } from "./rooted.ts";
import { refusalOf } from "./rooted-errors.ts";
import { removeBelow } from "./rooted-remove.ts";

/** A file's name as the bytes it is, and what it is; a link is itself, not what it leads to. */
export type RootedEntry = { name: Buffer; stats: fs.Stats };

/** replace: whole and in one step, made if absent. create: it must be absent. append: at its end, made if absent. */
export type WriteHow = "replace" | "create" | "append";

/** @throws NexusError `not-found`, `not-permitted` */
export function statFile(root: Rooted, path: Buffer): fs.Stats {
  using found = root.hold(path);
  return found.stats;
}

/** An open plain file to read from. @throws NexusError `not-found`; `unsupported` when it is no plain file */
export async function openToRead(root: Rooted, path: Buffer): Promise<{ file: FileHandle; stats: fs.Stats }> {
  using found = root.hold(path);
  refuseAllButFiles(found, root.owner, path);
  return { file: await reopen(root, found, { path, flags: fs.constants.O_RDONLY }), stats: found.stats };
}

/** Up to `limit` entries of a directory, in no order, and whether there are more. @throws NexusError `not-found`, `wrong-state` */
export async function listDirectory(root: Rooted, path: Buffer, limit: number): Promise<{ entries: RootedEntry[]; more: boolean }> {
  using found = root.hold(path);
  if (!found.stats.isDirectory()) throw new NexusError("wrong-state", `${root.owner}: ${path.toString()} is no directory`);
  const entries: RootedEntry[] = [];
  try {
    const listing = await opendir(reopenPath(found.fd), { encoding: "buffer" as BufferEncoding, bufferSize: entriesAtOnce });
    for await (const { name } of listing as unknown as AsyncIterable<{ name: Buffer }>) {
      if (entries.length >= limit) return { entries, more: true };
      const stats = fs.lstatSync(Buffer.concat([Buffer.from(`${reopenPath(found.fd)}/`), name]), { throwIfNoEntry: false });
      if (stats !== undefined) entries.push({ name, stats });
    }
  } catch (error) {
    throw refusalOf(error, root.owner, path);
  }
  return { entries, more: false };
}

/**
 * Writes a plain file. A file that is replaced passes its owner on, and its permissions unless a mode is given; what is mounted
 * can only be written into, which whoever reads it meanwhile may see a part of.
 * @throws NexusError `name-taken`, `not-found` for its directory, `unsupported` when something else has its name
 */
export async function writeFile(
  root: Rooted,
  path: Buffer,
  given: { bytes: Uint8Array; how: WriteHow; mode?: number | undefined; sync: boolean },
): Promise<fs.Stats> {
  using spot = given.how === "create" ? root.spot(path) : root.settledSpot(path);
  refuseKernelFiles({ fd: spot.directory }, root.owner, path);
  using before = root.at(spot, path);
  try {
    const owner = root.newOwner === undefined ? {} : { owner: root.newOwner };
    if (before === undefined) return await writeNew(spot, { ...given, mode: given.mode ?? defaultMode, ...owner });
    if (given.how === "create") throw new NexusError("name-taken", `${root.owner}: ${path.toString()} exists already`);
    refuseAllButFiles(before, root.owner, path);
    if (given.how === "replace" && !isMountPoint(spot)) return await replace(spot, before, given);
    const flags = fs.constants.O_WRONLY | (given.how === "append" ? fs.constants.O_APPEND : fs.constants.O_TRUNC);
    await using file = await reopen(root, before, { path, flags });
    return await fill(file, given);
  } catch (error) {
    throw refusalOf(error, root.owner, path);
  }
}

/** Makes a directory and those above it; one that is there is left as it is. @throws NexusError `wrong-state` when something else is */
export function makeDirectory(root: Rooted, path: Buffer, mode: number): fs.Stats {
  for (let at = path.indexOf(slash, 1); ; at = path.indexOf(slash, at + 1)) {
    const part = at === -1 ? path : path.subarray(0, at);
    if (!isDirectory(root, part)) makeOne(root, part, mode);
    if (at === -1) return statFile(root, path);
  }
}

/** Removes a file, or a directory: an empty one, or with what is in it. @throws NexusError `in-use` for what is not empty or is mounted */
export async function removeFile(root: Rooted, path: Buffer, recursive: boolean): Promise<void> {
  using spot = root.spot(path);
  refuseKernelFiles({ fd: spot.directory }, root.owner, path);
  try {
    const isDirectoryHere = inspect(root, spot, path).isDirectory();
    refuseMounted(root, spot, path);
    if (!isDirectoryHere) unlinkAt(spot.directory, spot.name);
    else if (recursive) await removeBelow(spot.directory, spot.name);
    else removeDirectoryAt(spot.directory, spot.name);
  } catch (error) {
    throw refusalOf(error, root.owner, path);
  }
}

/**
 * Gives a file or directory another name, in one step. A link of the new name is replaced itself, or with `follow` what it leads to.
 * @throws NexusError `name-taken` unless `replace`; `in-use` for what is mounted
 */
export function renameFile(root: Rooted, names: { from: Buffer; to: Buffer }, how: { replace: boolean; follow?: boolean }): void {
  using from = root.spot(names.from);
  using to = how.follow === true ? root.settledSpot(names.to) : root.spot(names.to);
  for (const [spot, path] of [
    [from, names.from],
    [to, names.to],
  ] as const) {
    refuseKernelFiles({ fd: spot.directory }, root.owner, path);
    refuseMounted(root, spot, path);
  }
  inspect(root, from, names.from);
  try {
    renameAt(from, to, how.replace);
  } catch (error) {
    throw refusalOf(error, root.owner, isErrno(error, "EXDEV", "EINVAL") ? names.from : names.to);
  }
}

async function replace(spot: Spot, before: Held, given: { bytes: Uint8Array; mode?: number | undefined }): Promise<fs.Stats> {
  const fresh: Spot = { ...spot, name: Buffer.from(`.nexus-${randomUUID()}`) };
  const { uid, gid, mode } = before.stats;
  const owner = { uid, gid };
  try {
    const stats = await writeNew(fresh, { bytes: given.bytes, mode: given.mode ?? mode & allPermissions, sync: true, owner });
    renameAt(fresh, spot, true);
    return stats;
  } catch (error) {
    removeQuietly(fresh);
    throw error;
  }
}

type NewFile = { bytes: Uint8Array; mode: number; sync: boolean; owner?: { uid: number; gid: number } };

async function writeNew(spot: Spot, given: NewFile): Promise<fs.Stats> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  using fd = openat2(spot.directory, spot.name, { flags, walk: resolve.noMagicLinks | resolve.noLinks, mode: 0o600 });
  await using file = await open(reopenPath(fd), O_WRONLY);
  try {
    if (given.owner !== undefined) await file.chown(given.owner.uid, given.owner.gid);
    return await fill(file, given);
  } catch (error) {
    removeQuietly(spot);
    throw error;
  }
}

async function fill(file: FileHandle, given: { bytes: Uint8Array; mode?: number | undefined; sync: boolean }): Promise<fs.Stats> {
  await file.writeFile(given.bytes);
  if (given.mode !== undefined) await file.chmod(given.mode & allPermissions);
  if (given.sync) await file.sync();
  return await file.stat();
}

/** Opens what is held. Not waiting, for whoever holds a lease on it could make us (fcntl(2), F_SETLEASE). */
async function reopen(root: Rooted, found: Held, how: { path: Buffer; flags: number }): Promise<FileHandle> {
  try {
    return await open(reopenPath(found.fd), how.flags | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY);
  } catch (error) {
    throw refusalOf(error, root.owner, how.path);
  }
}

function refuseAllButFiles(found: Held, owner: string, path: Buffer): void {
  if (found.stats.isDirectory()) throw new NexusError("wrong-state", `${owner}: ${path.toString()} is a directory`);
  if (!found.stats.isFile())
    throw new NexusError("unsupported", `${owner}: ${path.toString()} is a ${kindOf(found.stats)}, not a file`, {
      hint: "use a command inside for it",
    });
  refuseKernelFiles(found, owner, path);
}

export function kindOf(stats: fs.Stats): "file" | "directory" | "link" | "pipe" | "socket" | "device" {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "link";
  if (stats.isFIFO()) return "pipe";
  return stats.isSocket() ? "socket" : "device";
}

function refuseMounted(root: Rooted, spot: Spot, path: Buffer): void {
  if (isMountPoint(spot))
    throw new NexusError("in-use", `${root.owner}: ${path.toString()} is mounted there`, { hint: "it can only be written into" });
}

function inspect(root: Rooted, spot: Spot, path: Buffer): fs.Stats {
  using found = root.at(spot, path);
  if (found === undefined) throw new NexusError("not-found", `${root.owner}: ${path.toString()} is not there`);
  return found.stats;
}

function isDirectory(root: Rooted, path: Buffer): boolean {
  try {
    if (statFile(root, path).isDirectory()) return true;
  } catch (error) {
    if (error instanceof NexusError && error.code === "not-found") return false;
    throw error;
  }
  throw new NexusError("wrong-state", `${root.owner}: ${path.toString()} is there and is no directory`);
}

function makeOne(root: Rooted, path: Buffer, mode: number): void {
  using spot = root.spot(path);
  refuseKernelFiles({ fd: spot.directory }, root.owner, path);
  try {
    makeDirectoryAt(spot.directory, spot.name, 0o700);
    using made = openat2(spot.directory, spot.name, {
      flags: fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW,
      walk: resolve.noMagicLinks | resolve.noLinks,
    });
    if (root.newOwner !== undefined) fs.fchownSync(made.number, root.newOwner.uid, root.newOwner.gid);
    // Past the umask.
    fs.fchmodSync(made.number, mode & allPermissions);
  } catch (error) {
    // Made by another meanwhile; what it is, the next look says.
    if (!isErrno(error, "EEXIST")) throw refusalOf(error, root.owner, path);
  }
}

function removeQuietly(spot: Spot): void {
  try {
    unlinkAt(spot.directory, spot.name);
  } catch {
    // Somebody inside was quicker.
  }
}

/** Set-user-id and the like are not given by this way: a file that is copied must not bring a privilege along. */
const allPermissions = 0o777;
const defaultMode = 0o644;
const slash = 0x2f;
const entriesAtOnce = 1024;
