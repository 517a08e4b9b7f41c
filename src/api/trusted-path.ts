import { lstatSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

/** What one path is, without following a link. */
export type Entry = { kind: "directory" | "other"; uid: number; gid: number; mode: number } | { kind: "link"; uid: number; target: string };

/** The host as the walk sees it. */
export type View = {
  /** Of the caller. */
  uid: number;
  /** Undefined when it is not there, or not to be seen: then nothing is opened there either. */
  look: (path: string) => Entry | undefined;
  /** Whether this user may decide what is used: the caller, root, and whoever owns this program. */
  isTrusted: (uid: number) => boolean;
  /** Whether only such users are in the group. */
  isTrustedGroup: (gid: number) => boolean;
};

export type Untrusted = { path: string; problem: string; hint?: string };

/** Where everybody may write, as in /tmp, nobody may take away what is another's (inode(7)). */
const sticky = 0o1000;
const maxLinks = 40;

/**
 * The directory on the way to `path`, or itself, that somebody else could exchange or write to; undefined when there is none. Each link is
 * followed, for its target's directories count as those of the link do. What is not there yet passes.
 */
export function untrustedPart(path: string, view: View): Untrusted | undefined {
  const steps = path.split("/").filter((step) => step !== "");
  let at = "/";
  let links = 0;
  for (let next: string | undefined = ""; next !== undefined; next = steps.shift()) {
    if (next === ".") continue;
    // What was left was judged on the way in.
    const here = join(at, next);
    const entry = view.look(here);
    if (entry === undefined) return undefined;
    if (!view.isTrusted(entry.uid)) return { path: here, problem: `belongs to user ${entry.uid}, not to you (user ${view.uid})` };
    if (entry.kind === "link") {
      if (++links > maxLinks) return { path: here, problem: "is a link in a circle" };
      if (entry.target.startsWith("/")) at = "/";
      steps.unshift(...entry.target.split("/").filter((step) => step !== ""));
      continue;
    }
    if (entry.kind === "other") return { path: here, problem: "is no directory" };
    const writers = writersOf(entry, view);
    // Only the last one may not be as /tmp is: whoever comes first could have put anything there.
    if (writers !== undefined && ((entry.mode & sticky) === 0 || steps.length === 0))
      return { path: here, problem: `may be written by ${writers}`, hint: `chmod go-w ${here}` };
    at = here;
  }
  return undefined;
}

function writersOf({ gid, mode }: { gid: number; mode: number }, view: View): string | undefined {
  if ((mode & 0o002) !== 0) return "everybody";
  return (mode & 0o020) !== 0 && !view.isTrustedGroup(gid) ? `the group ${gid}` : undefined;
}

/** This host, for a caller. Whoever owns the program runs as the caller already. */
export function viewFor(uid: number): View {
  const trusted = new Set([0, uid, statSync(import.meta.dirname).uid]);
  return { uid, look: lookAt, isTrusted: (other) => trusted.has(other), isTrustedGroup: (gid) => isPrivate(gid, trusted) };
}

/** Undefined when it cannot be seen. */
export function lookAt(path: string): Entry | undefined {
  try {
    const found = lstatSync(path);
    if (found.isSymbolicLink()) return { kind: "link", uid: found.uid, target: readlinkSync(path) };
    return { kind: found.isDirectory() ? "directory" : "other", uid: found.uid, gid: found.gid, mode: found.mode };
  } catch (error) {
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
}

/**
 * Many systems give each user a group of their own and let it write (a umask of 002). Such a group is called as its user and has no other
 * member; one that is not in the host's own files is taken for a shared one.
 */
function isPrivate(gid: number, trusted: ReadonlySet<number>): boolean {
  const users = rows("/etc/passwd");
  const isOf = (name: string) => users.some(([user, , uid]) => user === name && trusted.has(Number(uid)));
  const others = users.some(([, , uid, primary]) => Number(primary) === gid && !trusted.has(Number(uid)));
  const group = rows("/etc/group").find(([, , id]) => Number(id) === gid);
  const members = (group?.[3] ?? "").split(",").filter((name) => name !== "");
  return group?.[0] !== undefined && isOf(group[0]) && members.every(isOf) && !others;
}

function rows(file: string): string[][] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line.includes(":"))
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}
