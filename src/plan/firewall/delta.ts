import type { Element, FirewallChange } from "../../wire/nftables/model.ts";
import type { SetElement } from "./elements.ts";
import { setKey } from "./ruleset.ts";

/** The element changes that lead from one list to another: removals first, since a key may come back with other data. */
export function elementDelta(before: readonly SetElement[], after: readonly SetElement[]): FirewallChange[] {
  const identity = (item: SetElement) => `${setKey(item)} ${JSON.stringify([item.element.key, item.element.data ?? null])}`;
  const had = new Set(before.map(identity));
  const has = new Set(after.map(identity));
  return [
    ...grouped(
      "delete-elements",
      before.filter((item) => !has.has(identity(item))),
    ),
    ...grouped(
      "add-elements",
      after.filter((item) => !had.has(identity(item))),
    ),
  ];
}

export function addElements(items: readonly SetElement[]): FirewallChange[] {
  return grouped("add-elements", items);
}

export function deleteElements(items: readonly SetElement[]): FirewallChange[] {
  return grouped("delete-elements", items);
}

function grouped(kind: "add-elements" | "delete-elements", items: readonly SetElement[]): FirewallChange[] {
  const groups = new Map<string, { item: SetElement; elements: Element[] }>();
  for (const item of items) {
    const group = groups.get(setKey(item));
    if (group === undefined) groups.set(setKey(item), { item, elements: [item.element] });
    else group.elements.push(item.element);
  }
  return [...groups.values()].map(({ item, elements }) => ({ kind, family: item.family, table: item.table, set: item.set, elements }));
}
