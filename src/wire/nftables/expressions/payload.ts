import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_PAYLOAD_*. */
const table = attributeTable({
  dreg: { number: 1, codec: register, meaning: "register to load into" },
  base: { number: 2, codec: oneOf(be32, { link: 0, network: 1, transport: 2 }), meaning: "header the offset counts from" },
  offset: { number: 3, codec: be32, meaning: "bytes" },
  length: { number: 4, codec: be32, meaning: "bytes" },
});

export const payload = expressionCodec("payload", table, {
  encode: (e) => (e.kind === "payload" ? { dreg: e.dreg, base: e.base, offset: e.offset, length: e.length } : undefined),
  decode: ({ dreg, base, offset, length }) =>
    dreg === undefined || base === undefined || offset === undefined || length === undefined
      ? undefined
      : { kind: "payload", base, offset, length, dreg },
});
