import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";
import type { CtKey } from "../fields.ts";

/** NFT_CT_*. */
const keys = { state: 0, status: 2, mark: 3 } as const satisfies Record<CtKey, number>;

/** NFTA_CT_*, in the order nft writes them. */
const table = attributeTable({
  key: { number: 2, codec: oneOf(be32, keys), meaning: "property of the connection" },
  dreg: { number: 1, codec: register, meaning: "register to load into" },
  sreg: { number: 4, codec: register, meaning: "register to set from" },
});

export const ct = expressionCodec("ct", table, {
  encode(e) {
    if (e.kind === "ct") return { key: e.key, dreg: e.dreg };
    return e.kind === "ct-set" ? { key: e.key, sreg: e.sreg } : undefined;
  },
  decode({ key, dreg, sreg }) {
    if (key === undefined) return undefined;
    if (dreg !== undefined) return { kind: "ct", key, dreg };
    return sreg === undefined ? undefined : { kind: "ct-set", key, sreg };
  },
});
