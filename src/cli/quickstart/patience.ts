import { setTimeout as delay } from "node:timers/promises";

/** A claim that does not hold; its message is what the table says. */
export class Disproof extends Error {}

/** Tries until it gives a value or the time is over; then the last disproof stands. What just started may need a moment. */
export async function eventually<T>(attempt: () => Promise<T>, deadlineMs = 3000): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Disproof) || performance.now() > deadline) throw error;
    }
    await delay(50);
  }
}

/** The promise's value, or a disproof at the deadline or when the user interrupts. */
export async function within<T>(work: Promise<T>, limit: { ms: number; signal: AbortSignal; what: string }): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = setTimeout(() => reject(new Disproof(`${limit.what} took longer than ${limit.ms / 1000} s`)), limit.ms);
  const interrupted = () => reject(new Disproof("interrupted"));
  limit.signal.addEventListener("abort", interrupted, { once: true });
  if (limit.signal.aborted) interrupted();
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(late);
    limit.signal.removeEventListener("abort", interrupted);
    // When the race is lost nobody else listens to the work.
    work.catch(() => {});
  }
}
