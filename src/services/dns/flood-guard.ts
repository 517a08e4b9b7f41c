/** The part of a socket the guard works on. */
export type GuardedSocket = {
  /** 0-1. */
  queueFill(): number;
  refuse(clients: readonly string[]): void;
};

export type FloodGuardOptions = { socket: GuardedSocket; now: () => number; onBlock: (client: string, ms: number) => void };

const tickMs = 50;
/** A queue this full at two ticks in a row is no hiccup of ours: someone sends more than can be answered. */
const fullEnough = 0.5;
const fewPerTick = 100;
const firstBlockMs = 1000;
const longestBlockMs = 32_000;
const forgetMs = 60_000;

type Block = { until: number; ms: number };

/**
 * Keeps one client from filling a socket's queue, where the kernel drops everybody's packets alike. While the queue
 * overflows, whoever sent more than half of what was read is refused by the kernel for a while, each time for longer.
 * A client that waits for its replies is never refused, however fast it is.
 */
export class FloodGuard implements Disposable {
  readonly #options: FloodGuardOptions;
  readonly #counts = new Map<string, number>();
  readonly #blocks = new Map<string, Block>();
  #refused: readonly string[] = [];
  #total = 0;
  #fullTicks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FloodGuardOptions) {
    this.#options = options;
  }

  /** Counts one packet. */
  saw(client: string): void {
    this.#counts.set(client, (this.#counts.get(client) ?? 0) + 1);
    this.#total++;
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.tick(), tickMs);
    this.#timer.unref();
  }

  /** Runs by itself every 50 ms while packets come or someone is refused. */
  tick(): void {
    const now = this.#options.now();
    const { client, count } = this.#heaviest();
    this.#fullTicks = this.#options.socket.queueFill() >= fullEnough ? this.#fullTicks + 1 : 0;
    if (this.#fullTicks >= 2 && count >= fewPerTick && count * 2 > this.#total) this.#block(client, now);
    this.#apply(now);
    const goOn = this.#total > 0 || this.#refused.length > 0;
    this.#counts.clear();
    this.#total = 0;
    clearTimeout(this.#timer);
    this.#timer = goOn ? setTimeout(() => this.tick(), tickMs) : undefined;
    this.#timer?.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #heaviest(): { client: string; count: number } {
    let heaviest = { client: "", count: 0 };
    for (const [client, count] of this.#counts) if (count > heaviest.count) heaviest = { client, count };
    return heaviest;
  }

  #block(client: string, now: number): void {
    const before = this.#blocks.get(client);
    // What was queued before the filter took hold is still being read.
    if (before !== undefined && before.until > now) return;
    const ms = before === undefined ? firstBlockMs : Math.min(before.ms * 2, longestBlockMs);
    this.#blocks.set(client, { until: now + ms, ms });
    this.#fullTicks = 0;
    this.#options.onBlock(client, ms);
  }

  #apply(now: number): void {
    for (const [client, { until }] of this.#blocks) if (until + forgetMs < now) this.#blocks.delete(client);
    const refused = [...this.#blocks].filter(([, { until }]) => until > now).map(([client]) => client);
    if (refused.join() === this.#refused.join()) return;
    this.#refused = refused;
    this.#options.socket.refuse(refused);
  }
}
