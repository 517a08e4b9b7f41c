import { attributeTable } from "../../netlink/attributes.ts";
import { be64, bytes } from "../../netlink/codecs.ts";
import { expressionCodec } from "../codec.ts";

/** NFTA_COUNTER_*; also the data of a named counter. */
export const counterAttributes = attributeTable({
  bytes: { number: 1, codec: be64, meaning: "bytes counted" },
  packets: { number: 2, codec: be64, meaning: "packets counted" },
  padding: { number: 3, codec: bytes, meaning: "alignment of the values" },
});

export const counter = expressionCodec("counter", counterAttributes, {
  encode: (e) => (e.kind === "counter" ? (e.packets === 0n && e.bytes === 0n ? {} : { bytes: e.bytes, packets: e.packets }) : undefined),
  decode: ({ bytes: seen, packets }) => ({ kind: "counter", packets: packets ?? 0n, bytes: seen ?? 0n }),
});
