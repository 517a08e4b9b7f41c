import { closeSync, constants, existsSync, fsyncSync, openSync, statfsSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Check, Finding } from "./report.ts";

/** State must outlive a power cut: written, synced, on a file system that keeps its word. */
export const stateDirectory: Check = {
  name: "state-directory",
  needed: true,
  probe(context) {
    const wanted = context.stateDirectory;
    const path = nearestExisting(wanted);
    const where = path === wanted ? wanted : `${path} (${wanted} is made there)`;
    const elsewhere = "set state_dir to a directory on a local disk";
    if (!statSync(path).isDirectory()) return { ok: "fail", detail: `${path} is not a directory`, remedy: elsewhere };

    const writing = tryWriting(path);
    if (typeof writing === "string")
      return { ok: "fail", detail: `${where} cannot be written: ${writing}`, remedy: remedyFor(writing, path) };
    const { type, bavail, bsize } = statfsSync(path);
    const freeMib = Math.floor((bavail * bsize) / 1048576);
    const found = `${where} on ${fileSystemName(type)}, ${freeMib} MiB free, a synced write took ${writing.toFixed(1)} ms`;
    return judge(path === wanted ? wanted : undefined, { type, freeMib, found, elsewhere });
  },
};

function judge(existing: string | undefined, disk: { type: number; freeMib: number; found: string; elsewhere: string }): Finding {
  const doubt = doubtful.get(disk.type);
  if (doubt !== undefined) return { ok: "warn", detail: `${disk.found}; ${doubt}`, remedy: disk.elsewhere };
  if (disk.freeMib < 64) return { ok: "fail", detail: `${disk.found}: too little to work with`, remedy: "make room, at least 256 MiB" };
  if (disk.freeMib < 256) return { ok: "warn", detail: disk.found, remedy: "make room, at least 256 MiB" };
  const mode = existing === undefined ? 0o700 : statSync(existing).mode & 0o777;
  if ((mode & 0o022) !== 0)
    return { ok: "fail", detail: `${disk.found}; others may write to it (mode ${mode.toString(8)})`, remedy: `chmod 700 ${existing}` };
  return { ok: "ok", detail: disk.found };
}

/** Milliseconds for one synced write, or why there was none. The file has no name where the file system can do that (O_TMPFILE, open(2)). */
function tryWriting(directory: string): number | string {
  const begin = performance.now();
  try {
    const { fd, name } = openNameless(directory);
    try {
      writeSync(fd, "nexus");
      fsyncSync(fd);
    } finally {
      closeSync(fd);
      if (name !== undefined) unlinkSync(name);
    }
    return performance.now() - begin;
  } catch (error) {
    return errnoOf(error);
  }
}

function openNameless(directory: string): { fd: number; name?: string } {
  try {
    return { fd: openSync(directory, temporaryFile | constants.O_RDWR, 0o600) };
  } catch (error) {
    if (errnoOf(error) !== "EOPNOTSUPP") throw error;
    const name = join(directory, `.nexus-doctor-${process.pid}`);
    return { fd: openSync(name, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600), name };
  }
}

function remedyFor(errno: string, path: string): string {
  switch (errno) {
    case "EROFS":
      return `mount the file system of ${path} writable, or set state_dir to one that is`;
    case "EACCES":
    case "EPERM":
      return `run as a user who may write to ${path}, or set state_dir`;
    case "ENOSPC":
    case "EDQUOT":
      return "make room, at least 256 MiB";
    default:
      return "set state_dir to a directory on a local disk";
  }
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path));
}

function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function fileSystemName(type: number): string {
  return names.get(type) ?? `file system 0x${type.toString(16)}`;
}

const temporaryFile = 0o20000000 | constants.O_DIRECTORY;

/** statfs(2) f_type. */
const names = new Map([
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x2fc12fc1, "zfs"],
  [0xf2f52010, "f2fs"],
  [0x6969, "nfs"],
  [0xff534d42, "cifs"],
  [0xfe534d42, "smb"],
  [0x01021997, "9p"],
  [0x65735546, "fuse"],
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
  [0x794c7630, "overlay"],
]);

const remote = "locks and syncs of a remote file system do not protect the database";
const doubtful = new Map([
  [0x6969, remote],
  [0xff534d42, remote],
  [0xfe534d42, remote],
  [0x01021997, remote],
  [0x65735546, "whether syncs are kept depends on the program behind it"],
  [0x01021994, "it is memory, so leases and nodes are forgotten at a reboot"],
  [0x858458f6, "it is memory, so leases and nodes are forgotten at a reboot"],
  [0x794c7630, "it goes with the container it belongs to, and nodes cannot stack their own overlay on it"],
]);
