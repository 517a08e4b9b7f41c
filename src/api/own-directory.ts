import { chmodSync, mkdirSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import { lookAt, type Untrusted, untrustedPart, viewFor } from "./trusted-path.ts";

/** The directory of a user's own socket: made 0700, and nobody else's. @throws NexusError not-permitted */
export function makeOwnDirectory(path: string, uid: number): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // Something else of that name is judged below.
    if (!(error instanceof Error && "code" in error) || error.code === "EEXIST")
      throw refusal(socket, { path, problem: "is no directory" });
    throw refusal(socket, { path, problem: `cannot be made (${String(error.code)})` }, error);
  }
  checkItself(path, uid);
  chmodSync(path, 0o700);
  refuseUntrusted(socket, path, uid);
}

/**
 * Whoever may exchange the directory of a socket, or one above it, decides who answers there. What is not there passes.
 * @throws NexusError not-permitted when that is another user
 */
export function checkOwnDirectory(path: string, uid: number): void {
  checkItself(path, uid);
  refuseUntrusted(socket, path, uid);
}

/** Something the daemon keeps on disk, in words for messages. */
export type Keep = { what: string; hint: string };

const socket: Keep = {
  what: "the daemon's socket",
  hint: "set XDG_RUNTIME_DIR to a directory of your own (mode 0700), or leave it unset",
};

/**
 * What is kept in a directory is used as if the daemon had made it, so only this user, root and the program's owner may have been able to:
 * there and in every directory above, where a whole tree could be exchanged. What is not there passes.
 * @throws NexusError not-permitted naming the directory and what to do
 */
export function refuseUntrusted(keep: Keep, path: string, uid: number): void {
  const found = untrustedPart(path, viewFor(uid));
  if (found !== undefined) throw refusal(keep, found);
}

function checkItself(path: string, uid: number): void {
  const found = lookAt(path);
  if (found === undefined) return;
  if (found.kind !== "directory") throw refusal(socket, { path, problem: "is no directory" });
  if (found.uid !== uid) throw refusal(socket, { path, problem: `belongs to user ${found.uid}, not to you (user ${uid})` });
}

function refusal(keep: Keep, { path, problem, hint }: Untrusted, cause?: unknown): NexusError {
  return new NexusError("not-permitted", `${keep.what} cannot be kept in ${path}: it ${problem}`, {
    hint: hint === undefined ? keep.hint : `${hint}, or ${keep.hint}`,
    cause,
  });
}
