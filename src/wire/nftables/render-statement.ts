import { unreachable } from "../../base/exhaustive.ts";
import { bitsOf, itemsOf, listKeys } from "./compile-match.ts";
import { dataTypes, numberOf, symbolOf } from "./datatypes.ts";
import { fieldOf } from "./fields.ts";
import type { Settled } from "./guards.ts";
import type { Family, Field, Statement } from "./model.ts";
import { renderVerdict } from "./render-element.ts";
import { renderMask, renderPart, renderRaw } from "./render-value.ts";

/** What earlier statements of the rule decide about the words of this one. */
export type RenderScope = { family: Family; settled: Settled };

/** One statement in nft's words, with the guards that nft does not add by itself. @throws WireError as compiling it would */
export function renderStatement(statement: Statement, scope: RenderScope): string {
  switch (statement.kind) {
    case "match":
      return renderMatch(statement, scope);
    case "in":
      return `${renderFields(statement.fields, scope)} ${statement.op === "!=" ? "!= " : ""}@${statement.set}`;
    case "vmap":
      return `${renderFields(statement.fields, scope)} vmap @${statement.map}`;
    case "verdicts": {
      const { type } = fieldOf(statement.field);
      const cases = statement.cases.map(({ value, verdict }) => `${renderPart(value, type)} : ${renderVerdict(verdict)}`);
      return `${renderFields([statement.field], scope)} vmap { ${cases.join(", ")} }`;
    }
    case "verdict":
      return renderVerdict(statement.verdict);
    case "dnat":
      return `dnat ${statement.family} to ${renderFields(statement.fields, scope)} map @${statement.map}`;
    case "snat":
      return `snat ${statement.family} to ${statement.address}`;
    case "masquerade": {
      const ports = statement.ports === undefined ? "" : ` to :${statement.ports.from}-${statement.ports.to}`;
      return `masquerade${ports}${statement.random === true ? " fully-random" : ""}`;
    }
    case "reject":
      return renderReject(statement.with, scope);
    case "count":
      return "counter";
    case "count-by":
      return `counter name ${renderFields(statement.fields, scope)} map @${statement.map}`;
    case "count-named":
      return `counter name ${JSON.stringify(statement.counter)}`;
    case "set-mark":
      return `${fieldOf(statement.field).text} set ${statement.value}`;
    case "log":
      return `log prefix ${JSON.stringify(statement.prefix)}`;
    case "limit":
      return `limit rate ${statement.perSecond}/second burst ${statement.burst} packets`;
    default:
      return unreachable(statement);
  }
}

function renderFields(fields: readonly Field[], scope: RenderScope): string {
  const guards = fields.flatMap((field) => spokenGuards(field, scope));
  return [...guards, fields.map((field) => fieldOf(field).text).join(" . ")].join(" ");
}

/** The guards of a field, of which only a raw one has to name them. */
function spokenGuards(name: Field, scope: RenderScope): string[] {
  const field = fieldOf(name);
  const guards = scope.settled.require(field.needs, scope.family);
  return field.raw === true ? guards.map((guard) => guard.text) : [];
}

function renderMatch(match: Extract<Statement, { kind: "match" }>, scope: RenderScope): string {
  const { type, flags, raw } = fieldOf(match.field);
  const items = itemsOf(match.value);
  const text = renderFields([match.field], scope);
  const not = match.op === "!=";
  if (flags === true) return `${text} ${not ? "! " : ""}${bitNames(bitsOf(items, match), match).join(",")}`;
  const [only, ...others] = items;
  if (match.mask !== undefined && only !== undefined && typeof only !== "object") {
    return `${text} & ${renderMask(match.mask, type)} ${match.op} ${renderMask(numberOf(only, type), type)}`;
  }
  const say = raw === true ? renderRaw : renderPart;
  const value =
    others.length === 0 && only !== undefined
      ? say(only, type)
      : `{ ${listKeys(match, items)
          .keys.map((key) => say(key, type))
          .join(", ")} }`;
  return `${text} ${not ? "!= " : ""}${value}`;
}

function bitNames(bits: number, match: Extract<Statement, { kind: "match" }>): string[] {
  const { type } = fieldOf(match.field);
  const names: string[] = [];
  for (let bit = 0; bit < dataTypes[type].length * 8; bit++) {
    const value = 2 ** bit;
    if (Math.floor(bits / value) % 2 === 1) names.push(symbolOf(value, type));
  }
  return names;
}

function renderReject(how: Extract<Statement, { kind: "reject" }>["with"], scope: RenderScope): string {
  if (how === "tcp-reset") {
    scope.settled.require(["tcp"], scope.family);
    return "reject with tcp reset";
  }
  const type = scope.family === "ip" ? "icmp" : scope.family === "ip6" ? "icmpv6" : "icmpx";
  return `reject with ${type} ${how === "icmpx-admin-prohibited" ? "admin-prohibited" : "port-unreachable"}`;
}
