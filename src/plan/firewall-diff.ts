import { ElementBytes } from "../wire/nftables/element-bytes.ts";
import type { Chain, Element, FirewallChange, NftSet, Table } from "../wire/nftables/model.ts";
import { pinSlackMs } from "./firewall/pins.ts";
import type { ObservedChain, ObservedSet, ObservedTable } from "../wire/nftables/observed.ts";

/**
 * The changes that make the observed table the desired one; none when it is already. What differs in elements and counters only is
 * changed in place. Anything else rebuilds the table, which one batch does without a packet seeing half of it.
 * `elements` is by set; a set it does not name is to be empty. @throws WireError for an element that does not fit its set
 */
export function diffTable(
  desired: Table,
  elements: ReadonlyMap<string, readonly Element[]>,
  observed: ObservedTable | undefined,
): FirewallChange[] {
  const { family, name } = desired;
  if (observed === undefined) return build(desired, elements);
  if (!sameStructure(desired, observed)) return [{ kind: "delete-table", family, name }, ...build(desired, elements)];
  const { added, gone } = counterChanges(desired, observed);
  const removals: FirewallChange[] = [];
  const additions: FirewallChange[] = [];
  for (const set of desired.sets) {
    const change = elementChanges(set, elements.get(set.name) ?? [], observed.elements.get(set.name) ?? []);
    if (change.gone.length > 0) removals.push({ kind: "delete-elements", family, table: name, set: set.name, elements: change.gone });
    if (change.added.length > 0) additions.push({ kind: "add-elements", family, table: name, set: set.name, elements: change.added });
  }
  // A counter that an element names must exist before it, and can only go after it.
  return [
    ...(added.length === 0 ? [] : [{ kind: "add-counters", family, table: name, names: added } as const]),
    ...removals,
    ...additions,
    ...(gone.length === 0 ? [] : [{ kind: "delete-counters", family, table: name, names: gone } as const]),
  ];
}

/** Whether comment, chains, rules and set definitions are the same, so that elements and counters are all there is to change. */
export function sameStructure(desired: Table, observed: ObservedTable): boolean {
  return (
    desired.comment === (observed.comment ?? "") &&
    sameByName(desired.chains, observed.chains, sameChain) &&
    sameByName(desired.sets, observed.sets, sameSet)
  );
}

function build(table: Table, elements: ReadonlyMap<string, readonly Element[]>): FirewallChange[] {
  const { family, name } = table;
  const filled = table.sets
    .map((set) => ({ set: set.name, elements: [...(elements.get(set.name) ?? [])] }))
    .filter((set) => set.elements.length > 0);
  return [{ kind: "add-table", table }, ...filled.map((set): FirewallChange => ({ kind: "add-elements", family, table: name, ...set }))];
}

function sameByName<D extends { name: string }, O extends { name: string }>(
  desired: readonly D[],
  observed: readonly O[],
  same: (d: D, o: O) => boolean,
): boolean {
  const found = new Map(observed.map((item) => [item.name, item]));
  if (found.size !== desired.length) return false;
  return desired.every((item) => {
    const other = found.get(item.name);
    return other !== undefined && same(item, other);
  });
}

function sameChain(desired: Chain, observed: ObservedChain): boolean {
  const { base } = desired;
  const other = observed.base;
  if ((base === undefined) !== (other === undefined)) return false;
  if (
    base !== undefined &&
    other !== undefined &&
    (base.type !== other.type || base.hook !== other.hook || base.priority !== other.priority || base.policy !== other.policy)
  )
    return false;
  return desired.rules.length === observed.rules.length && desired.rules.every((rule, i) => rule.id === observed.rules[i]?.id);
}

function sameSet(desired: NftSet, observed: ObservedSet): boolean {
  const { definition } = observed;
  if (definition === undefined || definition.interval !== desired.interval || definition.timeout !== desired.timeout) return false;
  return String(desired.key) === String(definition.key) && String(desired.data ?? "none") === String(definition.data ?? "none");
}

function counterChanges(desired: Table, observed: ObservedTable): { added: string[]; gone: string[] } {
  const wanted = new Set(desired.counters);
  return {
    added: desired.counters.filter((name) => !observed.counters.has(name)),
    gone: [...observed.counters.keys()].filter((name) => !wanted.has(name)),
  };
}

/**
 * A key with other data or comment goes and comes again in the same batch. Elements that live for a while are left alone when they are
 * about to end by themselves: whether the kernel has them still would be a guess.
 */
function elementChanges(set: NftSet, desired: readonly Element[], observed: readonly Element[]): { added: Element[]; gone: Element[] } {
  const bytes = new ElementBytes(set);
  const unmatched = new Map(observed.map((element) => [bytes.identity(element), element]));
  const added: Element[] = [];
  const gone: Element[] = [];
  for (const element of desired) {
    const key = bytes.identity(element);
    const same = unmatched.get(key);
    unmatched.delete(key);
    if (isEnding(element) || (same !== undefined && isEnding(same))) continue;
    if (same !== undefined && bytes.content(same) === bytes.content(element) && !outlives(same, element)) continue;
    if (same !== undefined) gone.push(same);
    added.push(element);
  }
  return { added, gone: [...gone, ...[...unmatched.values()].filter((element) => !isEnding(element))] };
}

function isEnding({ lifeMs }: Element): boolean {
  return lifeMs !== undefined && lifeMs < pinSlackMs;
}

/** Clocks and the time between two readings differ by less. */
function outlives(observed: Element, desired: Element): boolean {
  return observed.lifeMs !== undefined && desired.lifeMs !== undefined && observed.lifeMs > desired.lifeMs + pinSlackMs;
}
