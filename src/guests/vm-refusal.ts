import { type ErrorCode, NexusError } from "../base/errors.ts";
import type { Ran } from "./qga-script.ts";

/** Why one of our scripts in a guest ended as it did, by its exit code: errno(3)'s where it is ours. */
export function refusalIn(ran: Ran, name: string, path: string): NexusError {
  const [code, words] = meanings.get(ran.code) ?? ["runtime-failed", `could not be dealt with (${ran.code})`];
  const said = ran.stderr === "" ? "" : `: ${ran.stderr}`;
  const details = ran.code === 2 ? { errno: "ENOENT" } : { said: ran.stderr };
  return new NexusError(code, `${name}: ${path} ${words}${said}`, { details });
}

const meanings: ReadonlyMap<number, readonly [ErrorCode, string]> = new Map([
  [2, ["not-found", "is not there, or its directory is not"]],
  [11, ["in-use", "changes while it is looked at"]],
  [13, ["not-permitted", "may not be used so"]],
  [16, ["in-use", "could not be removed"]],
  [17, ["name-taken", "exists already"]],
  [18, ["runtime-failed", "could not be renamed"]],
  [20, ["wrong-state", "is no directory, or has a part that is none"]],
  [21, ["wrong-state", "is a directory"]],
  [39, ["in-use", "is not empty"]],
  [95, ["unsupported", "is no plain file"]],
]);
