import type { GuestStatus } from "../guests/driver.ts";
import type { GuestExit } from "../spec/views.ts";

/** How a node ended that nobody watched. Nothing hands over an exit code when the host goes down. */
export function exitAfter(status: Exclude<GuestStatus, { kind: "running" }>, rebooted: boolean): GuestExit {
  const known = status.kind === "exited" ? status.exit : undefined;
  if (known !== undefined && (known.code !== lostCode || !rebooted)) return known;
  const why = rebooted ? "the host restarted" : "it ended while no daemon was watching";
  const { at, lastLines } = known ?? { at: new Date().toISOString(), lastLines: [] };
  return { code: lostCode, oomKilled: false, at, lastLines: [...lastLines, `(${why}; its exit code is not known)`] };
}

/** Stands for an exit code nobody knows. */
const lostCode = 255;
