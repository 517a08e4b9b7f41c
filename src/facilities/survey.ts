import type { BigIntStats } from "node:fs";
import { NexusError } from "../base/errors.ts";
import type { Rooted } from "../kernel/rooted.ts";
import { walkBelow, type Walked } from "../kernel/rooted-walk.ts";
import type { LeftOut } from "./left-out.ts";

/** A file or link as git keeps one. `key` is its path, a character for each byte. */
export type Surveyed = Walked & { key: string; mode: GitMode; signature: string };

/** Plain, executable, link; or known to be there, and too large to be kept. */
export type GitMode = "100644" | "100755" | "120000" | "large";

export type SurveyOptions = { leftOut: LeftOut; signal: AbortSignal };

/** The most that is looked at: a sandbox can make more files than anybody waits for. */
export const mostEntries = 200_000;
/** Of one file, and of all. */
export const mostFileBytes = 16 * 1024 * 1024;
export const mostBytes = 1024 * 1024 * 1024;

/**
 * Everything in a workspace that a tree of git can hold. Git's own directories are passed over, also those of repositories further down,
 * whose files count as files; and names under which git would not take a file. Pipes, sockets and devices are named and left.
 * @throws NexusError `too-large` past 200,000 entries; the signal's reason
 */
export async function* survey(root: Rooted, { leftOut, signal }: SurveyOptions): AsyncGenerator<Surveyed> {
  const racyFrom = BigInt(Date.now() - racyMs) * 1_000_000n;
  let entries = 0;
  const enter = (path: Buffer) => !isGitsOwn(path);
  const onDeep = (path: Buffer) => leftOut.add(path, `lies more than ${deepest} directories deep`);
  for await (const one of walkBelow(root, { enter, deepest, onDeep })) {
    signal.throwIfAborted();
    if (++entries > mostEntries)
      throw new NexusError("too-large", `${root.owner} has more than ${mostEntries} files`, { hint: "look into it by a command inside" });
    const { path, stats } = one;
    if (isGitsOwn(path)) {
      if (path.includes(slash)) leftOut.add(path, "belongs to a repository of its own");
      continue;
    }
    if (stats.isDirectory()) continue;
    if (!stats.isFile() && !stats.isSymbolicLink()) {
      leftOut.add(path, `is a ${stats.isFIFO() ? "pipe" : stats.isSocket() ? "socket" : "device"}`);
      continue;
    }
    const signature = stats.ctimeNs >= racyFrom ? "" : `${stats.size}-${stats.mtimeNs}-${stats.ctimeNs}-${stats.ino}`;
    yield { ...one, key: path.toString("latin1"), mode: modeOf(stats), signature };
  }
}

/** A component that git keeps for itself, in any spelling that another system would take for it: then a patch with it cannot be applied. */
export function isGitsOwn(path: Buffer): boolean {
  const name = path.subarray(path.lastIndexOf(slash) + 1).toString("utf8");
  return name.split("\\").some((part) => /^(\.git|git~1)[. ]*(:.*)?$/i.test(part.replaceAll(ignoredByHfs, "")));
}

function modeOf(stats: BigIntStats): GitMode {
  if (stats.isSymbolicLink()) return "120000";
  if (stats.size > BigInt(mostFileBytes)) return "large";
  return (stats.mode & 0o100n) === 0n ? "100644" : "100755";
}

/** Characters that HFS+ leaves out of names (utf8.c of git). */
const ignoredByHfs = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;
const slash = 0x2f;
const deepest = 200;
/** A file changed right before it was looked at could change again within the same tick of its clock, and look the same. */
const racyMs = 100;
