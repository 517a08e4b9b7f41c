import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { data, expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_RANGE_*. */
const table = attributeTable({
  sreg: { number: 1, codec: register, meaning: "register to compare" },
  op: { number: 2, codec: oneOf(be32, { eq: 0, neq: 1 }), meaning: "inside or outside" },
  from: { number: 3, codec: data, meaning: "first value" },
  to: { number: 4, codec: data, meaning: "last value" },
});

export const range = expressionCodec("range", table, {
  encode: (e) => (e.kind === "range" ? { sreg: e.sreg, op: e.op, from: { value: e.from }, to: { value: e.to } } : undefined),
  decode: ({ sreg, op, from, to }) =>
    sreg === undefined || op === undefined || from?.value === undefined || to?.value === undefined
      ? undefined
      : { kind: "range", op, sreg, from: from.value, to: to.value },
});
