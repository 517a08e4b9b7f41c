import type { Clock } from "../../base/clock.ts";
import type { HostName } from "../../base/host-name.ts";
import type { Ip } from "../../base/ip.ts";
import type { EgressPolicy, EgressReason } from "../../spec/egress.ts";
import { egressReasons } from "../../spec/egress.ts";
import { Alarm } from "./alarm.ts";
import type { AuditRecord, AuditSink } from "./audit.ts";
import { connectFirst, type Dial } from "./connect.ts";
import { type Allowance, type Decision, Judge, judgeAddress, type OwnAddresses } from "./decide.ts";
import type { Destination } from "./destination.ts";
import { type EgressLimits, Turnstile } from "./limits.ts";
import { Passage } from "./passage.ts";
import { IdleUpstreams } from "./upstream.ts";
import type { Socket } from "node:net";

/** All addresses of a name, asked for once; none when it has none. Rejects when it cannot be known. */
export type EgressResolver = (name: HostName, asked: { run: string; signal: AbortSignal }) => Promise<readonly Ip[]>;

/** The addresses of a guest of this host that a rule means; none while it does not run. */
export type GuestAddresses = (guest: HostName) => readonly Ip[];

export type RunOptions = {
  /** Who is asking; in every audit line. */
  run: string;
  policy: EgressPolicy;
  /** Milliseconds since the epoch after which nothing is allowed any more. */
  policyEnds?: number | undefined;
  resolver: EgressResolver;
  guests: GuestAddresses;
  dial: Dial;
  audit: AuditSink;
  limits: EgressLimits;
  ownAddresses: OwnAddresses;
  clock: Clock;
  onFault: (error: unknown) => void;
};

/** Where a request got to: a connection to an address that was judged, a refusal, or nobody there. */
export type Reached =
  | { kind: "connected"; socket: Socket; address: Ip }
  | { kind: "denied"; decision: Decision }
  | { kind: "failed"; late: boolean; code: string };

export type RunFigures = { open: number; allowed: number; denied: Record<EgressReason, number>; bytesUp: number; bytesDown: number };

/** What all connections of one run share: the policy as it is now, what was used up, and what is open. */
export class Run implements Disposable {
  readonly limits: EgressLimits;
  readonly turnstile: Turnstile;
  readonly idle = new IdleUpstreams();
  readonly #options: RunOptions;
  readonly #open = new Set<Passage>();
  readonly #denied = Object.fromEntries(egressReasons.map((reason) => [reason, 0])) as Record<EgressReason, number>;
  #judge: Judge;
  #policyEnds: number;
  #allowed = 0;
  #up = 0;
  #down = 0;
  #auditBroken = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.limits = options.limits;
    this.turnstile = new Turnstile(options.limits.requestsPerSecond, options.clock.monotonic);
    this.#judge = new Judge(options.policy);
    this.#policyEnds = options.policyEnds ?? Number.POSITIVE_INFINITY;
  }

  /** From one request to the next; what is open and would not be allowed any more is cut. */
  setPolicy(policy: EgressPolicy, policyEnds = Number.POSITIVE_INFINITY): void {
    this.#judge = new Judge(policy);
    this.#policyEnds = policyEnds;
    this.idle[Symbol.dispose]();
    for (const passage of this.#open) {
      if (!passage.allowed || passage.to === undefined) continue;
      const now = this.#judge.destination(passage.to);
      if (now.verdict === "deny") passage.stop(`the policy changed: ${now.reason}`);
    }
  }

  begin(method: string): Passage {
    const passage = new Passage({
      run: this.#options.run,
      method,
      clock: this.#options.clock,
      spend: (direction, bytes) => this.#spend(direction, bytes),
      ended: (ended, record) => this.#ended(ended, record),
    });
    this.#open.add(passage);
    return passage;
  }

  /** Decides on the canonical destination, and notes both. */
  judge(passage: Passage, to: Destination): Decision {
    passage.to = to;
    const decision = this.#decide(to);
    passage.decide(decision);
    return decision;
  }

  /** Whether an address may be dialled for what was allowed, also one that was good before: a guest's own, or no special one. */
  judgeAddress(address: Ip, { guest }: Allowance): Decision {
    const { guests, ownAddresses } = this.#options;
    if (guest === undefined || !guests(guest).includes(address)) return judgeAddress(address, ownAddresses);
    return { verdict: "allow", reason: "OK", rule: `address of ${guest}`, protocol: "tcp" };
  }

  /** Asks for the addresses of what was allowed, once, judges each, and connects to one that passed. */
  async reach(passage: Passage, to: Destination, allowed: Allowance): Promise<Reached> {
    const { clock, dial, limits } = this.#options;
    const begin = clock.monotonic();
    const found = await this.#addresses(passage, to, allowed);
    if (typeof found === "string") return { kind: "failed", late: found === "ETIMEDOUT", code: found };
    const judged = found.map((address) => ({ address, decision: this.judgeAddress(address, allowed) }));
    const good = judged.filter(({ decision }) => decision.verdict === "allow").map(({ address }) => address);
    const bad = judged.find(({ decision }) => decision.verdict === "deny");
    if (good.length === 0 && bad !== undefined) {
      passage.address = bad.address;
      passage.decide(bad.decision);
      return { kind: "denied", decision: bad.decision };
    }
    const left = Math.max(1, limits.connectMs - (clock.monotonic() - begin));
    const connected = await connectFirst(good, to.port, { dial, deadlineMs: left, signal: passage.stopped });
    if (connected.kind === "failed") return { kind: "failed", late: connected.code === "ETIMEDOUT", code: connected.code };
    passage.address = connected.address;
    return connected;
  }

  figures(): RunFigures {
    return { open: this.#open.size, allowed: this.#allowed, denied: { ...this.#denied }, bytesUp: this.#up, bytesDown: this.#down };
  }

  fault(error: unknown): void {
    this.#options.onFault(error);
  }

  [Symbol.dispose](): void {
    this.turnstile[Symbol.dispose]();
    this.idle[Symbol.dispose]();
    for (const passage of this.#open) passage.stop("the proxy closed");
  }

  #decide(to: Destination): Decision {
    const { clock, limits } = this.#options;
    if (this.#auditBroken) return { verdict: "deny", reason: "INTERNAL_ERROR", detail: "decisions cannot be recorded" };
    if (clock.now() >= this.#policyEnds) return { verdict: "deny", reason: "POLICY_EXPIRED" };
    const decision = this.#judge.destination(to);
    if (decision.verdict === "allow" && (this.#up >= limits.bytesUp || this.#down >= limits.bytesDown))
      return { verdict: "deny", reason: "OTHER", rule: decision.rule, detail: "the run has no bytes left" };
    return decision;
  }

  /** All addresses, at least one, or why there is none. */
  async #addresses(
    passage: Passage,
    to: Destination,
    { guest }: Allowance,
  ): Promise<readonly Ip[] | "ENOTFOUND" | "ETIMEDOUT" | "ECANCELED"> {
    if (to.kind === "address") return [to.address];
    const { resolver, guests, run, limits } = this.#options;
    // Of its address nobody else is asked, and nobody else's answer would do.
    if (guest !== undefined) return guests(guest).length === 0 ? "ENOTFOUND" : guests(guest);
    const late = Promise.withResolvers<"ETIMEDOUT" | "ECANCELED">();
    const cancel = () => late.resolve("ECANCELED");
    using _ = new Alarm(limits.connectMs, () => late.resolve("ETIMEDOUT"));
    passage.stopped.addEventListener("abort", cancel);
    try {
      const addresses = await Promise.race([resolver(to.name, { run, signal: passage.stopped }), late.promise]);
      return addresses.length === 0 ? "ENOTFOUND" : addresses;
    } catch {
      return "ENOTFOUND";
    } finally {
      passage.stopped.removeEventListener("abort", cancel);
    }
  }

  #spend(direction: "up" | "down", bytes: number): boolean {
    if (direction === "up") this.#up += bytes;
    else this.#down += bytes;
    return this.#up <= this.limits.bytesUp && this.#down <= this.limits.bytesDown;
  }

  #ended(passage: Passage, record: AuditRecord): void {
    this.#open.delete(passage);
    if (record.decision === "allow") this.#allowed++;
    else this.#denied[record.reason]++;
    try {
      this.#options.audit(record);
    } catch (error) {
      this.#auditBroken = true;
      this.fault(error);
    }
  }
}
