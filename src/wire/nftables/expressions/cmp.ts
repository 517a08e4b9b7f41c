import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { data, expressionCodec, oneOf, register } from "../codec.ts";
import type { CmpOp } from "../expression.ts";

const ops = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const satisfies Record<CmpOp, number>;

/** NFTA_CMP_*. */
const table = attributeTable({
  sreg: { number: 1, codec: register, meaning: "register to compare" },
  op: { number: 2, codec: oneOf(be32, ops), meaning: "comparison, byte by byte" },
  data: { number: 3, codec: data, meaning: "what it is compared with" },
});

export const cmp = expressionCodec("cmp", table, {
  encode: (e) => (e.kind === "cmp" ? { sreg: e.sreg, op: e.op, data: { value: e.data } } : undefined),
  decode: ({ sreg, op, data: given }) =>
    sreg === undefined || op === undefined || given?.value === undefined ? undefined : { kind: "cmp", op, sreg, data: given.value },
});
