import { attributeTable } from "../../netlink/attributes.ts";
import { be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";

/** NFTA_NAT_*. The kernel reports the highest register beside the lowest even when there is one only. */
const table = attributeTable({
  type: { number: 1, codec: oneOf(be32, { snat: 0, dnat: 1 }), meaning: "which end is rewritten" },
  family: { number: 2, codec: oneOf(be32, { ip: 2, ip6: 10 }), meaning: "family of the address" },
  addressMin: { number: 3, codec: register, meaning: "register of the (lowest) address" },
  addressMax: { number: 4, codec: register, meaning: "register of the highest address" },
  portMin: { number: 5, codec: register, meaning: "register of the (lowest) port" },
  portMax: { number: 6, codec: register, meaning: "register of the highest port" },
  flags: { number: 7, codec: be32, meaning: "NF_NAT_RANGE_*" },
});

/** Set by the kernel itself from the registers given. */
const implied = 0x1 | 0x2;

export const nat = expressionCodec("nat", table, {
  encode: (e) =>
    e.kind === "nat"
      ? { type: e.type, family: e.family, addressMin: e.address, portMin: e.port, flags: e.flags === 0 ? undefined : e.flags }
      : undefined,
  decode({ type, family, addressMin, addressMax, portMin, portMax, flags }) {
    if (type === undefined || family === undefined) return undefined;
    if ((addressMax ?? addressMin) !== addressMin || (portMax ?? portMin) !== portMin) return undefined;
    return {
      kind: "nat",
      type,
      family,
      ...(addressMin === undefined ? {} : { address: addressMin }),
      ...(portMin === undefined ? {} : { port: portMin }),
      flags: ((flags ?? 0) & ~implied) >>> 0,
    };
  },
});
