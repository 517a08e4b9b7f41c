import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { data, expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_BITWISE_*, in the order nft writes them. */
const table = attributeTable({
  sreg: { number: 1, codec: register, meaning: "register read" },
  dreg: { number: 2, codec: register, meaning: "register written" },
  op: { number: 6, codec: oneOf(be32, { "mask-xor": 0 }), meaning: "(value & mask) ^ xor" },
  length: { number: 3, codec: be32, meaning: "bytes" },
  mask: { number: 4, codec: data, meaning: "bits kept" },
  xor: { number: 5, codec: data, meaning: "bits turned over" },
});

export const bitwise = expressionCodec("bitwise", table, {
  encode: (e) =>
    e.kind === "bitwise" ? { sreg: e.sreg, dreg: e.dreg, op: "mask-xor" as const, length: e.mask.length, mask: { value: e.mask }, xor: { value: e.xor } } : undefined,
  decode: ({ sreg, dreg, op, mask, xor }) =>
    sreg === undefined || dreg === undefined || op === undefined || mask?.value === undefined || xor?.value === undefined
      ? undefined
      : { kind: "bitwise", sreg, dreg, mask: mask.value, xor: xor.value },
});
