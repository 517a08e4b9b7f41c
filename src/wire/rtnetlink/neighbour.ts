import { attributeTable } from "../netlink/attributes.ts";
import { bytes, hardwareAddress, ip, s32, u16, u32, u8 } from "../netlink/codecs.ts";
import { padding, struct } from "../netlink/struct.ts";
import { bodyOf } from "../netlink/body.ts";

/** struct ndmsg (linux/neighbour.h). */
const neighbourHeader = struct({ family: u8, pad: padding(3), index: s32, state: u16, flags: u8, type: u8 });

/** NDA_* (linux/neighbour.h). */
const neighbourAttributes = attributeTable({
  address: { number: 1, codec: ip, meaning: "network address" },
  hardwareAddress: { number: 2, codec: hardwareAddress, meaning: "hardware address, absent until resolved" },
  cacheInfo: { number: 3, codec: bytes, meaning: "struct nda_cacheinfo" },
  probes: { number: 4, codec: u32, meaning: "questions asked so far" },
  link: { number: 8, codec: u32, meaning: "link a dump is limited to" },
  master: { number: 9, codec: u32, meaning: "bridge of the link" },
  protocol: { number: 12, codec: u8, meaning: "who added it" },
});

/** Messages about neighbours: RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH. */
export const neighbourBody = bodyOf("neighbour", neighbourHeader, neighbourAttributes);
export type NeighbourMessage = ReturnType<typeof neighbourBody.decode>;

/** NUD_*: bits, of which one is set at a time. */
export const neighbourState = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noArp: 0x40,
  permanent: 0x80,
} as const;
