import { attributeTable } from "../../netlink/attributes.ts";
import { be32, u8 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf } from "../codec.ts";

/** NFTA_REJECT_*. */
const table = attributeTable({
  type: { number: 1, codec: oneOf(be32, { icmp: 0, "tcp-reset": 1, icmpx: 2 }), meaning: "how the sender is told" },
  code: { number: 2, codec: u8, meaning: "ICMP code, or the kernel's code for both families" },
});

export const reject = expressionCodec("reject", table, {
  encode: (e) => (e.kind === "reject" ? { type: e.type, code: e.code } : undefined),
  decode: ({ type, code }) => (type === undefined ? undefined : { kind: "reject", type, code: code ?? 0 }),
});
