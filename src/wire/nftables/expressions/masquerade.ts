import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, register } from "../codec.ts";

/** NFTA_MASQ_*. */
const table = attributeTable({
  flags: { number: 1, codec: be32, meaning: "NF_NAT_RANGE_*" },
  portMin: { number: 2, codec: register, meaning: "register of the lowest port" },
  portMax: { number: 3, codec: register, meaning: "register of the highest port" },
});

export const masquerade = expressionCodec("masq", table, {
  encode: (e) =>
    e.kind === "masquerade" ? { flags: e.flags === 0 ? undefined : e.flags, portMin: e.portMin, portMax: e.portMax } : undefined,
  decode: ({ flags, portMin, portMax }) => ({
    kind: "masquerade",
    ...(portMin === undefined ? {} : { portMin }),
    ...(portMax === undefined ? {} : { portMax }),
    flags: flags ?? 0,
  }),
});
