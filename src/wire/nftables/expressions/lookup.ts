import { attributeTable } from "../../netlink/attributes.ts";
import { be32, string } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_LOOKUP_*, in the order nft writes them. */
const table = attributeTable({
  sreg: { number: 2, codec: register, meaning: "first register of the key" },
  dreg: { number: 3, codec: register, meaning: "register for what the map gives; 0 takes it as the verdict" },
  set: { number: 1, codec: string, meaning: "name of the set" },
  setId: { number: 4, codec: be32, meaning: "number of a set made in the same batch" },
  flags: { number: 5, codec: oneOf(be32, { plain: 0, invert: 1 }), meaning: "NFT_LOOKUP_F_INV" },
});

export const lookup = expressionCodec("lookup", table, {
  encode: (e) =>
    e.kind === "lookup"
      ? { sreg: e.sreg, dreg: e.dreg, set: e.set, setId: e.setId, flags: e.invert ? ("invert" as const) : undefined }
      : undefined,
  decode({ sreg, dreg, set, setId, flags }) {
    if (sreg === undefined || set === undefined) return undefined;
    return {
      kind: "lookup",
      set,
      ...(setId === undefined ? {} : { setId }),
      sreg,
      ...(dreg === undefined ? {} : { dreg }),
      invert: flags === "invert",
    };
  },
});
