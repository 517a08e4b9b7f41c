import { WireError } from "../../base/errors.ts";
import { dataTypes, encodeValue, numberOf } from "./datatypes.ts";
import { fieldOf } from "./fields.ts";
import type { KeyPart, MatchItem, MatchValue, Statement } from "./model.ts";
import { type AnonymousSet, loadFields, loadInto, requireGuards, type Scope } from "./scope.ts";
import type { SetDefinition } from "./set-definition.ts";
import { commonPrefix, isPrefix, joinSpans, maskOf, partOf, type Span, spanOf } from "./span.ts";

type Match = Extract<Statement, { kind: "match" }>;

/** A field against a value, a prefix, a range, a list or, for fields made of bits, any of some bits. @throws WireError */
export function compileMatch(match: Match, scope: Scope): void {
  const items = itemsOf(match.value);
  const field = fieldOf(match.field);
  if (field.flags === true) return matchFlags(match, items, scope);
  if (match.mask !== undefined) return matchMasked(match, items, scope);
  const [only, ...others] = items;
  if (only === undefined) throw new WireError(`nftables ${match.field}`, "is matched against an empty list");
  if (others.length > 0) return matchList(match, items, scope);
  return matchSpan(match, spanOf(only, field.type), scope);
}

/** The parts of a value; `{ prefix }` and a text with a slash mean the same. */
export function itemsOf(value: MatchValue): KeyPart[] {
  return (isList(value) ? value : [value]).map((item) => (typeof item === "object" && "prefix" in item ? item.prefix : item));
}

/** All bits of the values together. */
export function bitsOf(items: readonly KeyPart[], match: Match): number {
  return items.reduce<number>((bits, item) => {
    if (typeof item === "object") throw new WireError(`nftables ${match.field}`, "is made of bits and has no ranges");
    return (bits | numberOf(item, fieldOf(match.field).type)) >>> 0;
  }, 0);
}

/** The values of a list as a set's keys, joined where ranges meet. */
export function listKeys(match: Match, items: readonly KeyPart[]): { keys: KeyPart[]; interval: boolean } {
  const { type } = fieldOf(match.field);
  const interval = items.some((item) => typeof item === "object" || isPrefix(item));
  if (!interval) return { keys: [...new Set(items)], interval };
  if (dataTypes[type].order !== "network")
    throw new WireError(`nftables ${match.field}`, "cannot have ranges in a list: its bytes do not sort as its values");
  return { keys: joinSpans(items.map((item) => spanOf(item, type))).map((span) => partOf(span, type)), interval };
}

function isList(value: MatchValue): value is readonly MatchItem[] {
  return Array.isArray(value);
}

function matchFlags(match: Match, items: readonly KeyPart[], scope: Scope): void {
  if (match.mask !== undefined) throw new WireError(`nftables ${match.field}`, "is made of bits already and takes no mask");
  const { type } = fieldOf(match.field);
  const zero = encodeValue(0, type);
  loadFields([match.field], scope);
  scope.out.expressions.push(
    { kind: "bitwise", sreg: 1, dreg: 1, mask: encodeValue(bitsOf(items, match), type), xor: zero },
    { kind: "cmp", op: match.op === "==" ? "neq" : "eq", sreg: 1, data: zero },
  );
}

function matchMasked(match: Match, items: readonly KeyPart[], scope: Scope): void {
  const { type } = fieldOf(match.field);
  const [value, ...others] = items;
  if (
    match.mask === undefined ||
    value === undefined ||
    others.length > 0 ||
    typeof value === "object" ||
    dataTypes[type].form !== "number"
  ) {
    throw new WireError(`nftables ${match.field}`, "a mask goes with one number");
  }
  loadFields([match.field], scope);
  scope.out.expressions.push(
    { kind: "bitwise", sreg: 1, dreg: 1, mask: encodeValue(match.mask, type), xor: encodeValue(0, type) },
    { kind: "cmp", op: equality(match), sreg: 1, data: encodeValue(value, type) },
  );
}

function matchList(match: Match, items: readonly KeyPart[], scope: Scope): void {
  const { keys, interval } = listKeys(match, items);
  const id = scope.nextSetId();
  const definition: SetDefinition = {
    name: "__set%d",
    id,
    key: [fieldOf(match.field).type],
    interval,
    anonymous: { size: keys.length * (interval ? 2 : 1) },
  };
  const set: AnonymousSet = { definition, elements: keys.map((key) => ({ key: [key] })) };
  loadFields([match.field], scope);
  scope.out.sets.push(set);
  scope.out.expressions.push({ kind: "lookup", set: definition.name, setId: id, sreg: 1, invert: match.op === "!=" });
}

function matchSpan(match: Match, span: Span, scope: Scope): void {
  if (Buffer.compare(span.from, span.to) === 0) {
    loadFields([match.field], scope);
    scope.out.expressions.push({ kind: "cmp", op: equality(match), sreg: 1, data: span.from });
    return;
  }
  const { form } = dataTypes[fieldOf(match.field).type];
  const length = form === "number" ? undefined : commonPrefix(span);
  if (length !== undefined) return matchPrefix(match, { from: span.from, length }, scope);
  loadFields([match.field], scope);
  if (match.op === "!=") scope.out.expressions.push({ kind: "range", op: "neq", sreg: 1, from: span.from, to: span.to });
  else scope.out.expressions.push({ kind: "cmp", op: "gte", sreg: 1, data: span.from }, { kind: "cmp", op: "lte", sreg: 1, data: span.to });
}

/** A prefix of whole bytes is a shorter load; others need a mask. */
function matchPrefix(match: Match, prefix: { from: Uint8Array; length: number }, scope: Scope): void {
  const { load } = fieldOf(match.field);
  const { from, length } = prefix;
  if (load.kind === "payload" && length % 8 === 0 && length > 0) {
    requireGuards(match.field, scope);
    scope.out.expressions.push(loadInto({ ...load, length: length / 8 }, 1), {
      kind: "cmp",
      op: equality(match),
      sreg: 1,
      data: from.subarray(0, length / 8),
    });
    return;
  }
  loadFields([match.field], scope);
  scope.out.expressions.push(
    { kind: "bitwise", sreg: 1, dreg: 1, mask: maskOf(length, from.length), xor: new Uint8Array(from.length) },
    { kind: "cmp", op: equality(match), sreg: 1, data: from },
  );
}

function equality(match: Match): "eq" | "neq" {
  return match.op === "==" ? "eq" : "neq";
}
