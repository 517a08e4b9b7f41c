import { responseCode } from "../../wire/dns/numbers.ts";
import type { Message } from "../../wire/dns/message.ts";
import type { Exchange, UpstreamQuestion } from "./exchange.ts";
import { type Upstream, upstreamText } from "./upstream.ts";

export type RaceOptions = {
  exchange: Exchange;
  /** How long an upstream is alone before the next is asked too. */
  staggerMs: number;
  deadlineMs: number;
  health: UpstreamHealth;
  done: (reply: Message | undefined) => void;
};

/**
 * Asks the upstreams one after the other, each when the one before is late or has failed. `done` gets the first useful reply,
 * without one the first refusal, undefined when nobody answered in time. After a disposal it is not called.
 */
export function race(question: UpstreamQuestion, upstreams: readonly Upstream[], options: RaceOptions): Disposable {
  const waiting = options.health.ordered(upstreams);
  /** In the order they were started. */
  const running = new Map<Upstream, Disposable>();
  let refusal: Message | undefined;
  let over = false;
  let stagger: NodeJS.Timeout | undefined;

  const stop = () => {
    over = true;
    clearTimeout(stagger);
    clearTimeout(deadline);
    for (const exchange of running.values()) exchange[Symbol.dispose]();
  };
  const end = (message: Message | undefined) => {
    if (over) return;
    stop();
    options.done(message);
  };
  /** Whoever was asked before the winner and still owes an answer is slow; those after it had no time. */
  const win = (message: Message, winner: Upstream) => {
    for (const upstream of running.keys()) {
      if (upstream === winner) break;
      options.health.late(upstream);
    }
    options.health.answered(winner);
    end(message);
  };
  const startNext = () => {
    clearTimeout(stagger);
    const upstream = waiting.shift();
    if (upstream === undefined) {
      if (running.size === 0) end(refusal);
      return;
    }
    stagger = setTimeout(startNext, options.staggerMs);
    running.set(upstream, nothingYet);
    const exchange = options.exchange(upstream, question, (outcome) => {
      if (over) return;
      if (outcome.kind === "reply" && isUseful(outcome.message)) return win(outcome.message, upstream);
      running.delete(upstream);
      options.health.late(upstream);
      if (outcome.kind === "reply") refusal ??= outcome.message;
      startNext();
    });
    if (running.has(upstream)) running.set(upstream, exchange);
    if (over) exchange[Symbol.dispose]();
  };
  const deadline = setTimeout(() => end(refusal), options.deadlineMs);
  startNext();
  return { [Symbol.dispose]: stop };
}

const shunMs = 10_000;
const nothingYet: Disposable = { [Symbol.dispose]() {} };

/** Remembers who did not answer while another did, so that a dead first upstream costs its wait once, not on each query. */
export class UpstreamHealth {
  readonly #now: () => number;
  readonly #shunnedUntil = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The given order, with those that were silent lately at the end. */
  ordered(upstreams: readonly Upstream[]): Upstream[] {
    const silent = (upstream: Upstream) => (this.#shunnedUntil.get(upstreamText(upstream)) ?? 0) > this.#now();
    return [...upstreams.filter((u) => !silent(u)), ...upstreams.filter(silent)];
  }

  late(upstream: Upstream): void {
    this.#shunnedUntil.set(upstreamText(upstream), this.#now() + shunMs);
  }

  answered(upstream: Upstream): void {
    this.#shunnedUntil.delete(upstreamText(upstream));
  }

  clear(): void {
    this.#shunnedUntil.clear();
  }
}

/** An upstream that cannot or will not say is no reason to stop asking the others. */
function isUseful(message: Message): boolean {
  const code = message.flags & 15;
  return code === responseCode.NOERROR || code === responseCode.NXDOMAIN;
}
