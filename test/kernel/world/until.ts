import { setTimeout as delay } from "node:timers/promises";

/** Waits for a condition, looking again every few milliseconds. @throws when it does not hold within the deadline */
export async function until(what: string, condition: () => Promise<boolean> | boolean, deadlineMs = 20_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await delay(5);
  }
}
