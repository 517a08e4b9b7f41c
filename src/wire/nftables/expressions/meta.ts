import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";
import type { MetaKey } from "../fields.ts";

/** NFT_META_*. */
const keys = {
  protocol: 1,
  mark: 3,
  iifname: 6,
  oifname: 7,
  iiftype: 8,
  skuid: 10,
  nfproto: 15,
  l4proto: 16,
  iifgroup: 21,
  oifgroup: 22,
} as const satisfies Record<MetaKey, number>;

/** NFTA_META_*, in the order nft writes them. */
const table = attributeTable({
  key: { number: 2, codec: oneOf(be32, keys), meaning: "property of the packet" },
  dreg: { number: 1, codec: register, meaning: "register to load into" },
  sreg: { number: 3, codec: register, meaning: "register to set from" },
});

export const meta = expressionCodec("meta", table, {
  encode(e) {
    if (e.kind === "meta") return { key: e.key, dreg: e.dreg };
    return e.kind === "meta-set" ? { key: e.key, sreg: e.sreg } : undefined;
  },
  decode({ key, dreg, sreg }) {
    if (key === undefined) return undefined;
    if (dreg !== undefined) return { kind: "meta", key, dreg };
    return sreg === undefined ? undefined : { kind: "meta-set", key, sreg };
  },
});
