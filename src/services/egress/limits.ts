/** What one run may take of the proxy. */
export type EgressLimits = {
  /** Open at once; as many again wait for a place, for `headMs` at the most. */
  connections: number;
  /** Requests judged in a second, refused ones too; more wait for their turn. */
  requestsPerSecond: number;
  /** Of a request's or response's head, and of a ClientHello. */
  headBytes: number;
  headFields: number;
  /** From the first byte of a head, or of a connection, to its end. */
  headMs: number;
  /** To find an address and to connect to it, all its tries together. */
  connectMs: number;
  /** Without a byte in either direction. */
  idleMs: number;
  /** Of one tunnel or one request. */
  totalMs: number;
  /** All that leaves, and all that comes in, over the whole life of the run. */
  bytesUp: number;
  bytesDown: number;
};

export const defaultEgressLimits: EgressLimits = {
  connections: 256,
  requestsPerSecond: 500,
  headBytes: 32_768,
  headFields: 128,
  headMs: 10_000,
  connectMs: 15_000,
  idleMs: 300_000,
  totalMs: 4 * 3600_000,
  bytesUp: 64 * 2 ** 30,
  bytesDown: 64 * 2 ** 30,
};

/** Lets so many a second through, one second's worth at once at the most; the others wait in order. */
export class Turnstile implements Disposable {
  readonly #perSecond: number;
  readonly #now: () => number;
  readonly #waiting: (() => void)[] = [];
  #turns: number;
  #counted: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(perSecond: number, now: () => number) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#turns = perSecond;
    this.#counted = now();
  }

  /** Undefined when nobody has to wait. */
  enter(): Promise<void> | undefined {
    this.#count();
    if (this.#waiting.length === 0 && this.#turns >= 1) {
      this.#turns--;
      return undefined;
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#timer ??= setInterval(() => this.#release(), 1);
    });
  }

  /** Lets all who wait go on; they find their connections closed. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const go of this.#waiting.splice(0)) go();
  }

  #count(): void {
    const now = this.#now();
    this.#turns = Math.min(this.#perSecond, this.#turns + ((now - this.#counted) / 1000) * this.#perSecond);
    this.#counted = now;
  }

  /** A few at each tick of a millisecond, so that they do not come in one bunch before others. */
  #release(): void {
    this.#count();
    while (this.#turns >= 1) {
      const go = this.#waiting.shift();
      if (go === undefined) break;
      this.#turns--;
      go();
    }
    if (this.#waiting.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
