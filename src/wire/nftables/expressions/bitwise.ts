import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { data, expressionCodec, register } from "../codec.ts";

/** NFTA_BITWISE_*. */
const table = attributeTable({
  sreg: { number: 1, codec: register, meaning: "register read" },
  dreg: { number: 2, codec: register, meaning: "register written" },
  length: { number: 3, codec: be32, meaning: "bytes" },
  mask: { number: 4, codec: data, meaning: "bits kept" },
  xor: { number: 5, codec: data, meaning: "bits turned over" },
  op: { number: 6, codec: be32, meaning: "NFT_BITWISE_*; 0 or absent is (value & mask) ^ xor" },
});

export const bitwise = expressionCodec("bitwise", table, {
  encode: (e) =>
    e.kind === "bitwise"
      ? { sreg: e.sreg, dreg: e.dreg, length: e.mask.length, mask: { value: e.mask }, xor: { value: e.xor } }
      : undefined,
  decode: ({ sreg, dreg, op, mask, xor }) =>
    sreg === undefined || dreg === undefined || (op ?? 0) !== 0 || mask?.value === undefined || xor?.value === undefined
      ? undefined
      : { kind: "bitwise", sreg, dreg, mask: mask.value, xor: xor.value },
});
