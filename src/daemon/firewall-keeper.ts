import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Firewall } from "../kernel/firewall.ts";
import { diffTable } from "../plan/firewall-diff.ts";
import { pinsOf } from "../plan/firewall/pins.ts";
import { ruleset, tableNames } from "../plan/firewall/ruleset.ts";
import type { Desired } from "../plan/plan.ts";
import type { PinRecord } from "../plan/records.ts";
import type { Step } from "../plan/steps.ts";
import type { FirewallChange } from "../wire/nftables/model.ts";

type FirewallStep = Extract<Step, { kind: "firewall" }>;

/** Holds our tables to the policy. Reading them whole is left out while the kernel's generation says that only we changed the ruleset. */
export class FirewallKeeper {
  readonly #firewall: Firewall;
  readonly #log: Log;
  /** The generation after our last change, when all before it was seen to be right. */
  #trusted: number | undefined;

  constructor(firewall: Firewall, log: Log) {
    this.#firewall = firewall;
    this.#log = log;
  }

  /** Takes over what a daemon before us left. @throws NexusError daemon-running when another process holds our tables */
  adopt(): void {
    for (const { family, name } of tableNames) {
      const outcome = this.#firewall.adopt(family, name);
      if (outcome === "of-another-process") {
        throw new NexusError("daemon-running", `table ${family} ${name} belongs to another running process`, {
          hint: "another nexusd serves this network namespace; end it first",
        });
      }
      // A table that anybody may flush is made anew as one that nobody may.
      if (outcome === "without-owner" && this.#firewall.features.ownerPersist)
        this.#firewall.apply(`replace table ${family} ${name}`, [{ kind: "delete-table", family, name }]);
    }
  }

  /** What brings the tables to the policy they were last brought to; none when nobody changed them since. */
  plan(desired: Desired): Step[] {
    if (this.#trusted !== undefined && this.#trusted === this.#firewall.generation()) return [];
    const { changes, generation } = this.#compare(desired);
    if (changes.length > 0) return [wholeStep(changes)];
    this.#trusted = generation;
    return [];
  }

  /** What brings the tables to another policy. */
  planAnew(desired: Desired): Step[] {
    const { changes } = this.#compare(desired);
    return changes.length > 0 ? [wholeStep(changes)] : [];
  }

  /**
   * Applies a change planned for one object. When the tables turn out not to be what was believed, they are compared whole instead.
   * @throws KernelError
   */
  apply(step: FirewallStep, desired: () => Desired): void {
    const before = this.#trusted;
    try {
      this.#firewall.apply(step.op, step.changes);
    } catch (error) {
      this.#trusted = undefined;
      const { changes } = this.#compare(desired());
      this.#log.warn({ op: step.op, error: String(error), changes: changes.length }, "the ruleset was not as believed; compared whole");
      this.#firewall.apply(step.op, changes);
      return;
    }
    // One batch, one generation: more means somebody else changed the ruleset too.
    const now = this.#firewall.generation();
    this.#trusted = before !== undefined && now === before + 1 ? now : undefined;
  }

  /** Somebody changed our tables. */
  distrust(): void {
    this.#trusted = undefined;
  }

  /** Packets and bytes of named counters added up; undefined when there are none. */
  counters(): Map<string, { packets: bigint; bytes: bigint }> {
    return this.#firewall.readCounters("inet", "nexus");
  }

  /** Addresses pinned in the kernel. */
  pins(): PinRecord[] {
    return ["pinned4", "pinned6"].flatMap((set) => pinsOf(this.#firewall.dumpElements("inet", "nexus", set) ?? []));
  }

  #compare(desired: Desired): { changes: FirewallChange[]; generation: number } {
    const generation = this.#firewall.generation();
    const wanted = ruleset(desired);
    const changes: FirewallChange[] = [];
    for (const { family, name } of tableNames) {
      const observed = this.#firewall.dumpTable(family, name);
      const table = wanted.tables.find((t) => t.family === family && t.name === name);
      if (table === undefined) {
        if (observed !== undefined) changes.push({ kind: "delete-table", family, name });
        continue;
      }
      const elements = new Map(table.sets.map((set) => [set.name, wanted.elements.get(`${family} ${name} ${set.name}`) ?? []]));
      changes.push(...diffTable(table, elements, observed));
    }
    return { changes, generation };
  }
}

function wholeStep(changes: FirewallChange[]): FirewallStep {
  return { kind: "firewall", op: "bring the ruleset to the policy", changes, undo: [] };
}
