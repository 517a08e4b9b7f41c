import { chmodSync, lstatSync, mkdirSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { NexusError } from "../base/errors.ts";

/** The directory of a user's own socket: made 0700, and nobody else's. @throws NexusError not-permitted */
export function makeOwnDirectory(path: string, uid: number): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // Something else of that name is judged below.
    if (!(error instanceof Error && "code" in error) || error.code === "EEXIST") throw foreign(path, "is no directory");
    throw foreign(path, `cannot be made (${String(error.code)})`, error);
  }
  checkOwnDirectory(path, uid);
  chmodSync(path, 0o700);
}

/**
 * Whoever owns the directory of a socket, or the one above it, decides who answers there. What is not there passes.
 * @throws NexusError not-permitted when that is another user
 */
export function checkOwnDirectory(path: string, uid: number): void {
  const above = dirname(path);
  const parent = lookAt(above);
  if (parent !== undefined && parent.uid !== 0) checkOwner(above, parent.uid, uid);
  if (parent !== undefined && (parent.mode & sticky) === 0 && (parent.mode & 0o002) !== 0)
    throw foreign(above, "may be written by everybody");
  const found = lookAt(path);
  if (found === undefined) return;
  if (!found.isDirectory()) throw foreign(path, "is no directory");
  checkOwner(path, found.uid, uid);
}

/** Where everybody may write, as in /tmp, nobody may take away what is another's (inode(7)). */
const sticky = 0o1000;

function checkOwner(path: string, owner: number, uid: number): void {
  if (owner !== uid) throw foreign(path, `belongs to user ${owner}, not to you (user ${uid})`);
}

/** Undefined when it is not there, or not to be seen: then nothing is opened there either. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function foreign(path: string, problem: string, cause?: unknown): NexusError {
  return new NexusError("not-permitted", `the daemon's socket cannot be kept in ${path}: it ${problem}`, {
    hint: "set XDG_RUNTIME_DIR to a directory of your own (mode 0700), or leave it unset",
    cause,
  });
}
