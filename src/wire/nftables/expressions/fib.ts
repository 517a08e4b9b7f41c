import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_FIB_*, in the order nft writes them; only the address type is asked for. */
const table = attributeTable({
  of: { number: 3, codec: oneOf(be32, { saddr: 1, daddr: 2 }), meaning: "NFTA_FIB_F_*: which address is looked up" },
  result: { number: 2, codec: oneOf(be32, { type: 3 }), meaning: "NFT_FIB_RESULT_*" },
  dreg: { number: 1, codec: register, meaning: "register for the result" },
});

export const fib = expressionCodec("fib", table, {
  encode: (e) => (e.kind === "fib-type" ? { of: e.of, result: "type" as const, dreg: e.dreg } : undefined),
  decode: ({ of, result, dreg }) =>
    of === undefined || result === undefined || dreg === undefined ? undefined : { kind: "fib-type", of, dreg },
});
