/** One piece of work at a time for each key, in the order of asking; different keys do not wait for each other. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const tail: Promise<void> = mine.then(
      () => this.#forget(key, tail),
      () => this.#forget(key, tail),
    );
    this.#tails.set(key, tail);
    return mine;
  }

  /** Resolves when nothing is under way, or the deadline has passed. */
  async idle(deadlineMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    let patient = true;
    const timer = setTimeout(() => {
      patient = false;
      late.resolve();
    }, deadlineMs);
    while (patient && this.#tails.size > 0) await Promise.race([Promise.all(this.#tails.values()), late.promise]);
    clearTimeout(timer);
  }

  #forget(key: string, tail: Promise<void>): void {
    if (this.#tails.get(key) === tail) this.#tails.delete(key);
  }
}
