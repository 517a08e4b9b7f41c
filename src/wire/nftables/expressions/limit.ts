import { attributeTable } from "../../netlink/attributes.ts";
import { be32, be64, bytes } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf } from "../codec.ts";

/** NFTA_LIMIT_*. */
const table = attributeTable({
  rate: { number: 1, codec: be64, meaning: "packets per unit" },
  unit: { number: 2, codec: be64, meaning: "seconds" },
  burst: { number: 3, codec: be32, meaning: "packets that may come at once" },
  type: { number: 4, codec: oneOf(be32, { packets: 0 }), meaning: "what is counted" },
  flags: { number: 5, codec: oneOf(be32, { within: 0 }), meaning: "matches within the limit" },
  padding: { number: 6, codec: bytes, meaning: "alignment of the values" },
});

export const limit = expressionCodec("limit", table, {
  encode: (e) =>
    e.kind === "limit" ? { rate: e.rate, unit: e.unit, burst: e.burst, type: "packets" as const, flags: "within" as const } : undefined,
  decode: ({ rate, unit, burst, type, flags }) =>
    rate === undefined || unit === undefined || type === undefined || flags === undefined
      ? undefined
      : { kind: "limit", rate, unit, burst: burst ?? 0 },
});
