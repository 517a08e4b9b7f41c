import type { RunView } from "../spec/run-view.ts";
import type { RunRow } from "../state/rows.ts";

/** A run as the API tells of it. */
export function runView(row: RunRow, output: RunView["output"]): RunView {
  const { id, state, reason, message, exit, driver, limitedBy, root, uid, detached, startedAt, endedAt, egress, spec } = row;
  const code = codeOf(row);
  return {
    id,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(code === undefined ? {} : { code }),
    ...(exit === undefined ? {} : { exit }),
    ...(driver === undefined ? {} : { driver }),
    ...(limitedBy === undefined ? {} : { limitedBy }),
    ...(root === undefined ? {} : { root }),
    uid,
    detached,
    createdAt: timeOf(row.createdAt),
    ...(startedAt === undefined ? {} : { startedAt: timeOf(startedAt) }),
    ...(endedAt === undefined ? {} : { endedAt: timeOf(endedAt) }),
    ...(startedAt === undefined || endedAt === undefined ? {} : { tookMs: Math.max(0, endedAt - startedAt) }),
    output,
    ...(egress === undefined ? {} : { egress }),
    spec,
  };
}

/** What became of it, in a sentence. */
export function sentenceOf(view: RunView): string {
  return `run ${view.id} ${endOf(view)}${view.message === undefined ? "" : `: ${view.message}`}`;
}

function endOf({ state, reason, exit, code, spec }: RunView): string {
  switch (state) {
    case "starting":
      return "starts";
    case "running":
      return "runs";
    case "succeeded":
      return "succeeded";
    case "failed":
      if (reason === "facility-full") return "was ended: its facility is full";
      if (reason === "out-of-memory") return `was killed: out of its ${spec.mem} MiB of memory`;
      return exit?.signal === undefined ? `ended with code ${code}` : `was ended by ${exit.signal}`;
    case "timed-out":
      return `was ended after ${spec.timeoutMs} ms, its time`;
    case "cancelled":
      return reason === "asked"
        ? "was cancelled"
        : reason === "client-gone"
          ? "was cancelled: its client went away"
          : "was cancelled: nexusd ends";
    case "lost":
      if (reason === "sandbox-failed") return "was lost: its sandbox failed";
      return reason === "host-restarted" ? "was lost: the host restarted" : "was lost: nexusd died, and what it ran was ended";
    case "refused":
      return "was refused";
  }
}

/** 124 and 125 as timeout(1) has them. */
function codeOf({ state, exit }: Pick<RunRow, "state" | "exit">): number | undefined {
  switch (state) {
    case "timed-out":
      return 124;
    case "refused":
      return 125;
    case "cancelled":
      return exit === undefined || exit.code === 0 ? 143 : exit.code;
    case "succeeded":
    case "failed":
      return exit?.code;
    case "starting":
    case "running":
    case "lost":
      return undefined;
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
