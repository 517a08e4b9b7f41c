/** A client may send this much at once, and this often on the average. No real client comes near it. */
const burst = 20;
const perSecond = 5;

/** How much one client may still ask: a bucket that fills with time. Times are milliseconds of a monotonic clock. */
export class Allowance {
  #left = burst;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  /** Takes one from the bucket; false when it is empty. */
  take(now: number): boolean {
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1000) * perSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
