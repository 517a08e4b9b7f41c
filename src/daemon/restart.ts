const firstDelayMs = 100;
const longestDelayMs = 60_000;
/** A guest that ran this long is healthy: its next failure starts counting anew. */
const healthyMs = 10_000;

/** Waits twice as long after each failure, from 100 ms to a minute. */
export class Backoff {
  #failures = 0;

  nextDelayMs(ranMs: number): number {
    if (ranMs >= healthyMs) this.#failures = 0;
    return Math.min(firstDelayMs * 2 ** this.#failures++, longestDelayMs);
  }
}
