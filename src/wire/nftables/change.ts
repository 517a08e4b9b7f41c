import { WireError } from "../../base/errors.ts";
import { unreachable } from "../../base/exhaustive.ts";
import type { AttributeSpecs, AttributesInput, AttributeTable } from "../netlink/attributes.ts";
import { messageFlags } from "../netlink/message.ts";
import { chainAttributes, objectAttributes, ruleAttributes, setAttributes, tableAttributes } from "./attributes.ts";
import type { Batch } from "./batch.ts";
import { compileRule } from "./compile.ts";
import { chainInput } from "./hooks.ts";
import { messageType } from "./message.ts";
import type { Chain, Element, Family, FirewallChange, Rule, Table } from "./model.ts";
import { objectTypes } from "./object-types.ts";
import { encodeSet, type SetDefinition } from "./set-definition.ts";
import { addElements, deleteElements } from "./element-messages.ts";
import { commentItem, encodeUserData } from "./userdata.ts";

/** What encoding needs besides the change. */
export type ChangeContext = {
  /** NFT_TABLE_F_* for new tables. */
  tableFlags: number;
  nextSetId: () => number;
  /** The types of a set that exists or was made earlier in the batch; undefined when there is none. */
  definitionOf: (family: Family, table: string, set: string) => SetDefinition | undefined;
};

/** Where things of one table go. */
type Place = { batch: Batch; context: ChangeContext; family: Family; table: string };

const create = messageFlags.create;

/** Appends the messages that carry out a change. @throws WireError when it cannot be said to the kernel */
export function encodeChange(batch: Batch, change: FirewallChange, context: ChangeContext): void {
  switch (change.kind) {
    case "add-table":
      return addTable({ batch, context, family: change.table.family, table: change.table.name }, change.table);
    case "delete-table":
      return put(
        { batch, context, family: change.family, table: change.name },
        { type: messageType.deleteTable, flags: 0, about: `delete table ${change.family} ${change.name}` },
        tableAttributes,
        { name: change.name },
      );
    case "add-elements":
      return addElements(batch, change, definition(change, context));
    case "delete-elements":
      return deleteElements(batch, change, definition(change, context));
    case "add-counters":
      for (const name of change.names) addCounter({ batch, context, ...change }, name);
      return;
    case "delete-counters":
      for (const name of change.names) {
        put(
          { batch, context, ...change },
          { type: messageType.deleteObject, flags: 0, about: `delete counter ${change.table} ${name}` },
          objectAttributes,
          { table: change.table, name, type: objectTypes.counter },
        );
      }
      return;
    case "add-chain": {
      const place = { batch, context, family: change.family, table: change.table };
      addChain(place, change.chain);
      addRules(place, change.chain);
      return;
    }
    case "delete-chain":
      // Without NLM_F_NONREC the kernel deletes the chain's rules with it.
      return put(
        { batch, context, ...change },
        { type: messageType.deleteChain, flags: 0, about: `delete chain ${change.table} ${change.name}` },
        chainAttributes,
        { table: change.table, name: change.name },
      );
    default:
      return unreachable(change);
  }
}

/** All chains come before all rules, so that rules and verdict maps may name any of them. */
function addTable(place: Place, table: Table): void {
  put(
    place,
    { type: messageType.newTable, flags: create | messageFlags.exclusive, about: `add table ${table.family} ${table.name}` },
    tableAttributes,
    {
      name: table.name,
      flags: place.context.tableFlags,
      userData: table.comment === "" ? undefined : encodeUserData([commentItem(table.comment)]),
    },
  );
  for (const name of table.counters) addCounter(place, name);
  for (const set of table.sets) addSet(place, { ...set, id: place.context.nextSetId() });
  for (const chain of table.chains) addChain(place, chain);
  for (const chain of table.chains) addRules(place, chain);
}

function addCounter(place: Place, name: string): void {
  put(place, { type: messageType.newObject, flags: create, about: `add counter ${place.table} ${name}` }, objectAttributes, {
    table: place.table,
    name,
    type: objectTypes.counter,
    data: new Uint8Array(),
  });
}

function addSet(place: Place, set: SetDefinition): void {
  put(
    place,
    { type: messageType.newSet, flags: create, about: `add set ${place.table} ${set.name}` },
    setAttributes,
    encodeSet(place.table, set),
  );
}

function addChain(place: Place, chain: Chain): void {
  put(
    place,
    { type: messageType.newChain, flags: create, about: `add chain ${place.table} ${chain.name}` },
    chainAttributes,
    chainInput(place.family, place.table, chain),
  );
}

function addRules(place: Place, chain: Chain): void {
  for (const rule of chain.rules) addRule(place, chain.name, rule);
}

function addRule(place: Place, chain: string, rule: Rule): void {
  const about = `add rule ${rule.id} to ${place.table} ${chain}`;
  const compiled = compileRule(rule, { family: place.family, nextSetId: place.context.nextSetId });
  for (const { definition: set, elements } of compiled.sets) {
    put(place, { type: messageType.newSet, flags: create, about }, setAttributes, encodeSet(place.table, set));
    addElements(place.batch, { family: place.family, table: place.table, elements, about }, set);
  }
  put(place, { type: messageType.newRule, flags: create | messageFlags.append, about }, ruleAttributes, {
    table: place.table,
    chain,
    expressions: compiled.expressions,
    userData: encodeUserData([commentItem(rule.id)]),
  });
}

function definition(change: { family: Family; table: string; set: string; elements: Element[] }, context: ChangeContext): SetDefinition {
  const set = context.definitionOf(change.family, change.table, change.set);
  if (set === undefined) throw new WireError(`set ${change.set}`, `does not exist in table ${change.family} ${change.table}`);
  return set;
}

function put<S extends AttributeSpecs>(
  place: Place,
  message: { type: number; flags: number; about: string },
  table: AttributeTable<S>,
  value: AttributesInput<S>,
): void {
  place.batch.add({ ...message, family: place.family, table, attributes: (writer) => table.write(writer, value) });
}
