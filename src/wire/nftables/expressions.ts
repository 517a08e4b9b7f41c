import { attributeTable } from "../netlink/attributes.ts";
import { type Codec, bytes, string } from "../netlink/codecs.ts";
import { list, nested } from "../netlink/nesting.ts";
import { WireError } from "../../base/errors.ts";
import type { ExpressionCodec } from "./codec.ts";
import type { Expression } from "./expression.ts";
import { bitwise } from "./expressions/bitwise.ts";
import { cmp } from "./expressions/cmp.ts";
import { counter } from "./expressions/counter.ts";
import { ct } from "./expressions/ct.ts";
import { fib } from "./expressions/fib.ts";
import { immediate } from "./expressions/immediate.ts";
import { limit } from "./expressions/limit.ts";
import { log } from "./expressions/log.ts";
import { lookup } from "./expressions/lookup.ts";
import { masquerade } from "./expressions/masquerade.ts";
import { meta } from "./expressions/meta.ts";
import { nat } from "./expressions/nat.ts";
import { objref } from "./expressions/objref.ts";
import { payload } from "./expressions/payload.ts";
import { range } from "./expressions/range.ts";
import { reject } from "./expressions/reject.ts";

const codecs: readonly ExpressionCodec[] = [
  payload,
  meta,
  ct,
  fib,
  cmp,
  range,
  bitwise,
  lookup,
  immediate,
  nat,
  masquerade,
  reject,
  counter,
  objref,
  log,
  limit,
];
const byName: ReadonlyMap<string, ExpressionCodec> = new Map(codecs.map((codec) => [codec.name, codec]));

/** NFTA_EXPR_*; the data is what the codec of that name makes of it. */
const wrapper = attributeTable({
  name: { number: 1, codec: string, meaning: "which instruction" },
  data: { number: 2, codec: { ...bytes, nested: true }, meaning: "its attributes" },
});

const wrapped = nested(wrapper);

/** One instruction. Those of other programs that we have no value for are kept as bytes. */
export const expression: Codec<Expression> = {
  nested: true,
  write: (writer, value) => wrapped.write(writer, encodeExpression(value)),
  read: (reader) => decodeExpression(wrapped.read(reader)),
};

/** NFTA_RULE_EXPRESSIONS. */
export const expressionList = list(expression);

function encodeExpression(value: Expression): { name: string; data: Uint8Array } {
  if (value.kind === "unknown") return { name: value.name, data: value.data };
  for (const codec of codecs) {
    const data = codec.encode(value);
    if (data !== undefined) return { name: codec.name, data };
  }
  throw new WireError("nftables expression", `cannot be written: ${value.kind}`);
}

function decodeExpression({ name, data = new Uint8Array() }: { name?: string; data?: Uint8Array }): Expression {
  if (name === undefined) throw new WireError("nftables expression", "has no name");
  return byName.get(name)?.decode(data) ?? { kind: "unknown", name, data };
}
