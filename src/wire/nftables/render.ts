import { unreachable } from "../../base/exhaustive.ts";
import { renderElement, renderLooseElement } from "./render-element.ts";
import { renderStatement } from "./render-statement.ts";
import { Settled } from "./guards.ts";
import type { Chain, Element, Family, FirewallChange, NftSet, Rule, Table } from "./model.ts";

/** The change as `nft -f` takes it, one line or block of lines each; what `nexus plan` prints. */
export function renderChange(change: FirewallChange): string[] {
  switch (change.kind) {
    case "add-table":
      return renderTable(change.table);
    case "delete-table":
      return [`delete table ${change.family} ${change.name}`];
    case "add-elements":
      return [`add element ${change.family} ${change.table} ${change.set} { ${change.elements.map(renderLooseElement).join(", ")} }`];
    case "delete-elements":
      return [
        `delete element ${change.family} ${change.table} ${change.set} { ${change.elements.map((e) => renderLooseElement({ key: e.key })).join(", ")} }`,
      ];
    case "add-counters":
      return change.names.map((name) => `add counter ${change.family} ${change.table} ${name}`);
    case "delete-counters":
      return change.names.map((name) => `delete counter ${change.family} ${change.table} ${name}`);
    case "add-chain":
      return [`table ${change.family} ${change.table} {`, ...indent(renderChain(change.chain, change.family)), "}"];
    case "delete-chain":
      return [
        `flush chain ${change.family} ${change.table} ${change.name}`,
        `delete chain ${change.family} ${change.table} ${change.name}`,
      ];
    default:
      return unreachable(change);
  }
}

/** A table with the elements of its sets, loadable by `nft -f`. Table flags cannot be told: nft text of our time has none for `persist`. */
export function renderTable(table: Table, elements: ReadonlyMap<string, readonly Element[]> = new Map()): string[] {
  return [
    `table ${table.family} ${table.name} {`,
    ...(table.comment === "" ? [] : [`\tcomment ${JSON.stringify(table.comment)}`]),
    ...table.counters.map((name) => `\tcounter ${name} { }`),
    ...table.sets.flatMap((set) => indent(renderSet(set, elements.get(set.name) ?? []))),
    ...table.chains.flatMap((chain) => indent(renderChain(chain, table.family))),
    "}",
  ];
}

/**
 * One rule without its chain; `family` decides some words. `nft` loads it, but for fields of neighbour discovery in a concatenation:
 * their text (`@th,64,128`) is a bare integer, which the typed sets refuse.
 */
export function renderRule(rule: Rule, family: Family): string {
  const settled = new Settled();
  const words = rule.statements.map((statement) => {
    const text = renderStatement(statement, { family, settled });
    settled.learn(statement);
    return text;
  });
  return [...words, `comment ${JSON.stringify(rule.id)}`].join(" ");
}

function renderSet(set: NftSet, elements: readonly Element[]): string[] {
  const data = set.data === undefined ? "" : ` : ${typeof set.data === "string" ? set.data : set.data.join(" . ")}`;
  return [
    `${set.data === undefined ? "set" : "map"} ${set.name} {`,
    `\ttype ${set.key.join(" . ")}${data}`,
    ...(set.interval ? ["\tflags interval"] : []),
    ...(set.timeout === undefined ? [] : ["\tflags timeout"]),
    ...(elements.length === 0 ? [] : [`\telements = { ${elements.map((element) => renderElement(element, set)).join(",\n\t\t")} }`]),
    "}",
  ];
}

function renderChain(chain: Chain, family: Family): string[] {
  const { base } = chain;
  return [
    `chain ${chain.name} {`,
    ...(base === undefined ? [] : [`\ttype ${base.type} hook ${base.hook} priority ${base.priority}; policy ${base.policy};`]),
    ...chain.rules.map((rule) => `\t${renderRule(rule, family)}`),
    "}",
  ];
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `\t${line}`);
}
