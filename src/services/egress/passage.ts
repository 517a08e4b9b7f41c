import type { Clock } from "../../base/clock.ts";
import type { Ip } from "../../base/ip.ts";
import type { AuditRecord } from "./audit.ts";
import type { Decision } from "./decide.ts";
import type { Destination } from "./destination.ts";

export type PassageOptions = {
  run: string;
  method: string;
  clock: Clock;
  /** Bytes that passed; false when the run has no more to spend. */
  spend: (direction: "up" | "down", bytes: number) => boolean;
  ended: (passage: Passage, record: AuditRecord) => void;
};

/** One decision and what passed by it, from the request to the audit line. */
export class Passage implements Disposable {
  readonly #options: PassageOptions;
  readonly #stop = new AbortController();
  readonly #time: number;
  readonly #begin: number;
  /** What nobody decided on ended by a defect. */
  #decision: Decision = { verdict: "deny", reason: "INTERNAL_ERROR" };
  #detail: string | undefined;
  #up = 0;
  #down = 0;
  #over = false;
  method: string;
  to: Destination | undefined;
  address: Ip | undefined;

  constructor(options: PassageOptions) {
    this.#options = options;
    this.method = options.method;
    this.#time = options.clock.now();
    this.#begin = options.clock.monotonic();
  }

  /** Aborted when nothing more may pass; whoever holds sockets of it destroys them. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  get allowed(): boolean {
    return this.#decision.verdict === "allow";
  }

  decide(decision: Decision): void {
    this.#decision = decision;
  }

  /** What became of it, for the audit line; the first to say so is believed. */
  note(detail: string): void {
    this.#detail ??= detail;
  }

  stop(why: string): void {
    if (this.#over) return;
    this.note(why);
    this.#stop.abort();
  }

  carried(direction: "up" | "down", bytes: number): void {
    if (direction === "up") this.#up += bytes;
    else this.#down += bytes;
    if (!this.#options.spend(direction, bytes)) this.stop("the run has no bytes left");
  }

  /** Writes the audit line, once. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    const decision = this.#decision;
    const detail = this.#detail ?? (decision.verdict === "deny" ? decision.detail : undefined);
    this.#options.ended(this, {
      time: new Date(this.#time).toISOString(),
      run: this.#options.run,
      method: this.method,
      name: this.to === undefined ? null : this.to.kind === "name" ? this.to.name : this.to.address,
      port: this.to?.port ?? null,
      address: this.address ?? null,
      decision: decision.verdict,
      reason: decision.reason,
      rule: decision.rule ?? null,
      bytesUp: this.#up,
      bytesDown: this.#down,
      ms: Math.round((this.#options.clock.monotonic() - this.#begin) * 1000) / 1000,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}
