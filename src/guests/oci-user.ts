import { closeSync, constants, openSync, readSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import { resolveInside } from "../kernel/inside.ts";

/** As whom a process runs. */
export type ProcessUser = { uid: number; gid: number; additionalGids: number[]; home: string };

/**
 * The numbers behind `user[:group]`, from the root file system's own passwd and group files, which are read as data:
 * links in them stay inside the root, and no more than 1 MiB is read.
 * @throws NexusError `runtime-failed` when a name is in neither file
 */
export function resolveUser(root: string, text: string): ProcessUser {
  const [userPart = "", groupPart] = text.split(":", 2);
  const accounts = table(root, "/etc/passwd");
  const groups = table(root, "/etc/group");
  const wanted = userPart === "" ? "0" : userPart;
  const account = accounts.find((line) => line[0] === wanted) ?? accounts.find((line) => line[2] === wanted);
  const uid = account === undefined ? numberOf(wanted) : numberOf(account[2] ?? "");
  if (uid === undefined) throw noSuch("user", wanted, "/etc/passwd");
  const gid = groupPart === undefined ? (numberOf(account?.[3] ?? "") ?? 0) : groupNumber(groups, groupPart);
  // A group named explicitly replaces the whole set, as it does for login programs.
  const additionalGids =
    groupPart !== undefined || account === undefined ? [] : membershipOf(groups, account[0] ?? "").filter((id) => id !== gid);
  const home = account?.[5];
  return { uid, gid, additionalGids, home: home === undefined || home === "" ? "/" : home };
}

function groupNumber(groups: string[][], text: string): number {
  const line = groups.find((group) => group[0] === text);
  const gid = numberOf(line?.[2] ?? text);
  if (gid === undefined) throw noSuch("group", text, "/etc/group");
  return gid;
}

function membershipOf(groups: string[][], user: string): number[] {
  return groups.flatMap((line) => {
    const gid = numberOf(line[2] ?? "");
    return gid !== undefined && (line[3] ?? "").split(",").includes(user) ? [gid] : [];
  });
}

function numberOf(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1 ? Number(text) : undefined;
}

/** Lines of a colon-separated table; none when the file is absent or not a plain file. */
function table(root: string, path: string): string[][] {
  const found = resolveInside(root, path);
  if (found?.stat?.isFile() !== true) return [];
  const fd = openSync(found.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(Math.min(found.stat.size, 1 << 20));
    const length = readSync(fd, buffer, 0, buffer.length, 0);
    return buffer
      .toString("utf8", 0, length)
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => line.split(":"));
  } finally {
    closeSync(fd);
  }
}

function noSuch(kind: string, name: string, file: string): NexusError {
  return new NexusError("runtime-failed", `the image has no ${kind} "${name}" in ${file}`, {
    hint: `use a number, or an image with that ${kind}`,
  });
}
