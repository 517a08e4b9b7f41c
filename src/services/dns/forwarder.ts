import { WireError } from "../../base/errors.ts";
import type { Message } from "../../wire/dns/message.ts";
import { headerFlag, responseCode } from "../../wire/dns/numbers.ts";
import type { KeptReply } from "../../wire/dns/response.ts";
import type { ReplyCache } from "./cache.ts";
import type { Exchange, UpstreamQuestion } from "./exchange.ts";
import { keepReply } from "./keep.ts";
import { race, type UpstreamHealth } from "./race.ts";
import type { Upstream } from "./upstream.ts";

/** The upstreams of one network; `scope` is the same exactly when the list is, and parts the cache. */
export type UpstreamSet = { scope: string; list: readonly Upstream[] };

export type ForwarderLimits = { inFlight: number; inFlightPerClient: number; staggerMs: number; deadlineMs: number };

export type ForwarderOptions = { cache: ReplyCache; exchange: Exchange; health: UpstreamHealth; limits: ForwarderLimits };

/** `busy`: the client, or all together, wait for as many replies as they may; nothing was asked and `done` is not called. */
export type Accepted = "cached" | "waiting" | "busy";

type Done = (reply: KeptReply, ageSeconds: number) => void;

/** Questions for others: from the cache, by joining the same question already under way, or asked of the upstreams. */
export class Forwarder implements Disposable {
  readonly #options: ForwarderOptions;
  readonly #underWay = new Map<string, Done[]>();
  readonly #races = new Set<Disposable>();
  readonly #perClient = new Map<string, number>();
  #waiting = 0;
  #raced = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** How many questions went upstream; those joined or cached not counted. */
  get raced(): number {
    return this.#raced;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** `done` is called before the return when cached, later when waiting; a failure comes as a reply with SERVFAIL. */
  ask(question: UpstreamQuestion, from: { client: string; upstreams: UpstreamSet }, done: Done): Accepted {
    const key = keyOf(question, from.upstreams);
    const cached = this.#options.cache.get(key);
    if (cached !== undefined) {
      done(cached.reply, cached.ageSeconds);
      return "cached";
    }
    const { limits } = this.#options;
    const own = this.#perClient.get(from.client) ?? 0;
    if (own >= limits.inFlightPerClient || this.#waiting >= limits.inFlight) return "busy";
    this.#perClient.set(from.client, own + 1);
    this.#waiting++;
    const leave: Done = (reply, age) => {
      this.#waiting--;
      const left = (this.#perClient.get(from.client) ?? 1) - 1;
      if (left > 0) this.#perClient.set(from.client, left);
      else this.#perClient.delete(from.client);
      done(reply, age);
    };
    const joined = this.#underWay.get(key);
    if (joined !== undefined) {
      joined.push(leave);
      return "waiting";
    }
    this.#underWay.set(key, [leave]);
    this.#race(key, question, from.upstreams);
    return "waiting";
  }

  /** Ends what is under way; those who wait get no reply. */
  [Symbol.dispose](): void {
    for (const running of this.#races) running[Symbol.dispose]();
    this.#races.clear();
    this.#underWay.clear();
  }

  #race(key: string, question: UpstreamQuestion, upstreams: UpstreamSet): void {
    this.#raced++;
    // `done` may come before `race` returns.
    let running: Disposable | undefined;
    let ended = false;
    const { exchange, health, limits } = this.#options;
    running = race(question, upstreams.list, {
      exchange,
      health,
      staggerMs: limits.staggerMs,
      deadlineMs: limits.deadlineMs,
      done: (message) => {
        ended = true;
        if (running !== undefined) this.#races.delete(running);
        this.#deliver(key, keptOf(message, question));
      },
    });
    if (!ended) this.#races.add(running);
  }

  #deliver(key: string, { reply, ttlSeconds }: { reply: KeptReply; ttlSeconds: number }): void {
    this.#options.cache.set(key, reply, ttlSeconds);
    const joined = this.#underWay.get(key) ?? [];
    this.#underWay.delete(key);
    for (const done of joined) done(reply, 0);
  }
}

/** No reply, and one that cannot be put into a message of ours, are failures alike. */
function keptOf(message: Message | undefined, question: UpstreamQuestion): { reply: KeptReply; ttlSeconds: number } {
  if (message !== undefined) {
    try {
      return keepReply({ ...message, questions: [questionOf(question)] });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }
  return keepReply({
    id: 0,
    flags: headerFlag.QR | responseCode.SERVFAIL,
    questions: [questionOf(question)],
    answers: [],
    authorities: [],
    additionals: [],
  });
}

function keyOf(question: UpstreamQuestion, upstreams: UpstreamSet): string {
  const bits = (question.dnssecOk ? 1 : 0) | (question.checkingDisabled ? 2 : 0);
  return `${upstreams.scope} ${question.type} ${question.class} ${bits} ${question.name}`;
}

function questionOf({ name, type, class: klass }: UpstreamQuestion): { name: string; type: number; class: number } {
  return { name, type, class: klass };
}
