import type { Name } from "../base/names.ts";
import type { Chronicle } from "./chronicle.ts";

/** What is wrong with one service of each network; its beginning and its end are told once. */
export class NetworkProblems {
  readonly #problems = new Map<Name, string>();
  readonly #chronicle: Chronicle;
  readonly #words: { service: string; restored: string };

  /** `restored` completes "network lan: …". */
  constructor(chronicle: Chronicle, words: { service: string; restored: string }) {
    this.#chronicle = chronicle;
    this.#words = words;
  }

  of(network: Name): string | undefined {
    return this.#problems.get(network);
  }

  tell(network: Name, problem: string | undefined): void {
    if (this.#problems.get(network) === problem) return;
    const { service, restored } = this.#words;
    if (problem === undefined) {
      this.#problems.delete(network);
      this.#chronicle.tell({ kind: `${service}.restored`, subject: network, message: `network ${network}: ${restored} again` });
    } else {
      this.#problems.set(network, problem);
      this.#chronicle.tell({ kind: `${service}.failed`, subject: network, message: problem });
    }
  }
}
