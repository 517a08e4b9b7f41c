import type { Log } from "../base/log.ts";

/**
 * A promise nobody awaits has failed: a defect, logged with its stack. The daemon carries on, for guests outlive it but their names,
 * addresses and restarts do not, and what one piece of work left undone the next plan finds.
 */
export function logStrayRejections(log: Log): Disposable {
  const told = (reason: unknown): void => {
    log.error({ error: stackOf(reason) }, "a defect: work that nobody waited for failed; the daemon carries on");
  };
  process.on("unhandledRejection", told);
  return { [Symbol.dispose]: () => void process.off("unhandledRejection", told) };
}

/** With what led to it, a few steps down. */
function stackOf(reason: unknown, steps = 5): string {
  if (!(reason instanceof Error)) return String(reason);
  const above = reason.cause === undefined || steps === 0 ? "" : `\ncaused by ${stackOf(reason.cause, steps - 1)}`;
  return `${reason.stack ?? String(reason)}${above}`;
}
