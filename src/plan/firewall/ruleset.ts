import { hash } from "node:crypto";
import type { Element, Rule, Table } from "../../wire/nftables/model.ts";
import type { AttachmentRecord, NetworkRecord, PinRecord, PublishRecord } from "../records.ts";
import { bridgeTable } from "./bridge-table.ts";
import { attachmentElements, networkElements, publishElements, type SetElement } from "./elements.ts";
import { inetTable } from "./inet-table.ts";
import { pinElements } from "./pins.ts";
import { userModeTable } from "./user-mode-table.ts";

export type RulesetInput = {
  /** Identity of this nexus, kept in the tables' comment: proof that they are ours. */
  instance: string;
  networks: readonly NetworkRecord[];
  attachments: readonly AttachmentRecord[];
  publishes: readonly PublishRecord[];
  pins: readonly PinRecord[];
  /** A virtual machine in user mode runs. */
  userMode?: boolean;
};

/** `elements` is keyed by `family table set`. */
export type Ruleset = { tables: Table[]; elements: Map<string, Element[]> };

/** Our tables; whoever else has one of these names is in the way. */
export const tableNames = [
  { family: "inet", name: "nexus" },
  { family: "bridge", name: "nexus" },
  { family: "inet", name: "nexus_user_mode" },
] as const;

export function isOurTable(chain: { family: string; table: string }): boolean {
  return tableNames.some((t) => t.family === chain.family && t.name === chain.table);
}

/** The whole policy: a fixed handful of rules, and one set element for each fact. No networks, no tables of networks. */
export function ruleset(input: RulesetInput): Ruleset {
  const comment = `nexus ${input.instance}`;
  const tables = [
    ...(input.networks.length === 0 ? [] : [inetTable(comment, input.networks), bridgeTable(comment)]),
    ...(input.userMode === true ? [userModeTable(comment)] : []),
  ].map(stamped);
  if (input.networks.length === 0) return { tables, elements: new Map() };
  const elements = new Map<string, Element[]>();
  for (const table of tables) for (const set of table.sets) elements.set(`${table.family} ${table.name} ${set.name}`, []);
  const add = (items: SetElement[]) => {
    for (const item of items) elements.get(setKey(item))?.push(item.element);
  };
  for (const network of input.networks) add(networkElements(network, input.networks));
  for (const attachment of input.attachments) add(attachmentElements(attachment));
  for (const publish of input.publishes) add(publishElements(publish));
  for (const pin of input.pins) add(pinElements(pin));
  return { tables, elements };
}

export function setKey(item: { family: string; table: string; set: string }): string {
  return `${item.family} ${item.table} ${item.set}`;
}

/** A rule is recognised by its comment, so that has to change with what the rule does. */
function stamped(table: Table): Table {
  const stamp = (rule: Rule): Rule => ({ ...rule, id: `${rule.id} ${hash("sha256", JSON.stringify(rule.statements), "hex").slice(0, 8)}` });
  return { ...table, chains: table.chains.map((chain) => ({ ...chain, rules: chain.rules.map(stamp) })) };
}
