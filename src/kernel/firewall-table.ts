import { setFlags, tableFlags } from "../wire/nftables/attributes.ts";
import { baseOf } from "../wire/nftables/hooks.ts";
import type { Element, Family } from "../wire/nftables/model.ts";
import type { ObservedChain, ObservedRule, ObservedSet, ObservedTable } from "../wire/nftables/observed.ts";
import { decodeSet } from "../wire/nftables/set-definition.ts";
import { commentOf } from "../wire/nftables/userdata.ts";
import type { FirewallReader } from "./firewall-reader.ts";

/** A whole table of one moment, or undefined when there is none. @throws KernelError, WireError */
export function readTable(reader: FirewallReader, family: Family, name: string): ObservedTable | undefined {
  return reader.steadily(() => {
    const table = reader.table(family, name);
    if (table === undefined) return undefined;
    const sets = readSets(reader, family, name);
    const elements = new Map<string, Element[]>();
    for (const set of sets) if (set.definition !== undefined) elements.set(set.name, reader.elements(family, name, set.definition));
    const flags = table.flags ?? 0;
    return {
      family,
      name,
      comment: commentOf(table.userData),
      persistent: (flags & tableFlags.persist) !== 0,
      owner: (flags & tableFlags.owner) === 0 ? undefined : table.owner,
      generation: reader.generation(),
      chains: readChains(reader, family, name),
      sets,
      elements,
      counters: reader.counters(family, name),
    };
  });
}

/** Named sets only. */
export function readSets(reader: FirewallReader, family: Family, table: string): ObservedSet[] {
  const sets: ObservedSet[] = [];
  for (const set of reader.sets(family, table)) {
    if (set.name === undefined || ((set.flags ?? 0) & setFlags.anonymous) !== 0) continue;
    sets.push({ name: set.name, definition: decodeSet(set) });
  }
  return sets;
}

function readChains(reader: FirewallReader, family: Family, table: string): ObservedChain[] {
  const rules = new Map<string, ObservedRule[]>();
  for (const rule of reader.rules(family, { table })) {
    const list = rules.get(rule.chain ?? "") ?? [];
    list.push({ handle: rule.handle ?? 0n, id: commentOf(rule.userData), expressions: rule.expressions ?? [] });
    rules.set(rule.chain ?? "", list);
  }
  const chains: ObservedChain[] = [];
  for (const { attributes } of reader.chains(family)) {
    if (attributes.table !== table || attributes.name === undefined) continue;
    chains.push({ name: attributes.name, base: baseOf(family, attributes), rules: rules.get(attributes.name) ?? [] });
  }
  return chains;
}
