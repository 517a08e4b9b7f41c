/** Work that several callers wait for together: it goes on while at least one does, and is called off with the last. */
export class SharedFetches<T> {
  readonly #running = new Map<string, Running<T>>();

  has(key: string): boolean {
    return this.#running.get(key)?.stop.signal.aborted === false;
  }

  /** Joins the work of that key, or begins it. A caller that gives up alone leaves it running. @throws its signal's reason; what the work throws */
  async join(key: string, signal: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const running = this.has(key) ? this.#running.get(key) : undefined;
    const work = running ?? this.#begin(key, begin);
    work.callers++;
    const { promise: left, reject: leave } = Promise.withResolvers<never>();
    const onAbort = () => {
      if (--work.callers > 0) return leave(signal.reason);
      // The last one waits for the end, so that nothing is left when it is told.
      work.stop.abort(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([work.done, left]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Running<T> {
    const stop = new AbortController();
    const done = begin(stop.signal).finally(() => {
      if (this.#running.get(key) === work) this.#running.delete(key);
    });
    const work: Running<T> = { stop, done, callers: 0 };
    this.#running.set(key, work);
    return work;
  }
}

type Running<T> = { stop: AbortController; done: Promise<T>; callers: number };
