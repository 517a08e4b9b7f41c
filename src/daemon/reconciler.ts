import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Chronicle } from "./chronicle.ts";
import type { NetworkEngine } from "./network-access.ts";

/** How long after something was noticed a reconcile runs: long enough to gather a burst, short enough to be within a second. */
const gatherMs = 50;
/** A repair that is undone again and again is not raced: after this many in a row, the interval is waited for. */
const stormLimit = 20;
const intervalMs = 30_000;

export type ReconcilerOptions = {
  wiring: NetworkEngine;
  chronicle: Chronicle;
  log: Log;
  /** Runs beside each reconcile: what else has to be looked at. */
  alongside: () => Promise<void>;
};

type Outcome = { steps: string[] } | { error: unknown };

/** The one queue of re-plans: events, timers and requests only ever ask for another comparison. */
export class Reconciler implements AsyncDisposable {
  readonly #o: ReconcilerOptions;
  #soon: NodeJS.Timeout | undefined;
  #running: Promise<Outcome> | undefined;
  #again = false;
  #storm = 0;
  readonly #interval: NodeJS.Timeout;

  constructor(options: ReconcilerOptions) {
    this.#o = options;
    this.#interval = setInterval(() => {
      this.#storm = 0;
      void this.#start("the interval");
    }, intervalMs);
  }

  /** Asks for a reconcile soon. */
  ask(reason: string): void {
    if (this.#storm >= stormLimit || this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      void this.#start(reason);
    }, gatherMs);
  }

  /** Compares and repairs now; gives what was done, as commands. @throws NexusError with the code of what made it fail */
  async run(reason: string): Promise<string[]> {
    // Several may wait for the same end; each comes after the one before.
    while (this.#running !== undefined) await this.#running;
    const outcome = (await this.#start(reason)) ?? { steps: [] };
    if ("steps" in outcome) return outcome.steps;
    const { error } = outcome;
    throw new NexusError(
      error instanceof NexusError ? error.code : "internal",
      `the reconcile after ${reason} failed: ${error instanceof Error ? error.message : String(error)}`,
      { hint: `what is wanted is kept, and tried again within ${intervalMs / 1000} s`, cause: error },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#interval);
    clearTimeout(this.#soon);
    this.#again = false;
    await this.#running;
  }

  #start(reason: string): Promise<Outcome> | undefined {
    if (this.#running !== undefined) {
      this.#again = true;
      return undefined;
    }
    this.#running = this.#reconcile(reason).finally(() => {
      this.#running = undefined;
      if (this.#again) {
        this.#again = false;
        this.ask(reason);
      }
    });
    return this.#running;
  }

  async #reconcile(reason: string): Promise<Outcome> {
    try {
      const { done, leftovers } = this.#o.wiring.settle(await this.#o.wiring.inspect());
      const swept = await this.#o.wiring.sweep(leftovers);
      await this.#o.alongside();
      const all = [...done, ...swept];
      if (all.length === 0) this.#storm = 0;
      else {
        this.#storm++;
        const rest = all.length > 3 ? ` and ${all.length - 3} more` : "";
        this.#o.chronicle.tell({
          kind: "repaired",
          subject: "host",
          message: `repaired after ${reason}: ${all.slice(0, 3).join("; ")}${rest}`,
          details: { steps: all.slice(0, 100) },
        });
      }
      return { steps: all };
    } catch (error) {
      this.#o.log.error({ error: error instanceof Error ? error.stack : String(error) }, "a reconcile failed");
      return { error };
    }
  }
}
