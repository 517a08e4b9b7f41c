import { attributeTable, type DecodedOf, type InputOf } from "../netlink/attributes.ts";
import { be16, be32, be64, ipv4, ipv6, u32, u8 } from "../netlink/codecs.ts";
import { nested } from "../netlink/nesting.ts";
import { struct } from "../netlink/struct.ts";
import { bodyOf } from "../netlink/body.ts";

/** struct nfgenmsg (linux/netfilter/nfnetlink.h). */
const flowHeader = struct({ family: u8, version: u8, resource: be16 });

/** CTA_IP_* (linux/netfilter/nfnetlink_conntrack.h). */
const addresses = attributeTable({
  source4: { number: 1, codec: ipv4, meaning: "IPv4 source" },
  destination4: { number: 2, codec: ipv4, meaning: "IPv4 destination" },
  source6: { number: 3, codec: ipv6, meaning: "IPv6 source" },
  destination6: { number: 4, codec: ipv6, meaning: "IPv6 destination" },
});

/** CTA_PROTO_*. */
const transport = attributeTable({
  number: { number: 1, codec: u8, meaning: "IP protocol" },
  sourcePort: { number: 2, codec: be16, meaning: "source port" },
  destinationPort: { number: 3, codec: be16, meaning: "destination port" },
  icmpId: { number: 4, codec: be16, meaning: "ICMP identifier" },
  icmpType: { number: 5, codec: u8, meaning: "ICMP type" },
  icmpCode: { number: 6, codec: u8, meaning: "ICMP code" },
  icmp6Id: { number: 7, codec: be16, meaning: "ICMPv6 identifier" },
  icmp6Type: { number: 8, codec: u8, meaning: "ICMPv6 type" },
  icmp6Code: { number: 9, codec: u8, meaning: "ICMPv6 code" },
});

/** CTA_TUPLE_*: one direction of a flow. */
const tuple = attributeTable({
  addresses: { number: 1, codec: nested(addresses), meaning: "addresses" },
  transport: { number: 2, codec: nested(transport), meaning: "protocol and ports" },
  zone: { number: 3, codec: be16, meaning: "zone of this direction" },
});

/** CTA_FILTER_*: which parts of the tuples a dump is limited to; in the host's byte order, unlike the rest. */
const filter = attributeTable({
  original: { number: 1, codec: u32, meaning: "parts of the original tuple" },
  reply: { number: 2, codec: u32, meaning: "parts of the reply tuple" },
});

const counters = attributeTable({
  packets: { number: 1, codec: be64, meaning: "packets" },
  bytes: { number: 2, codec: be64, meaning: "bytes" },
});

/** CTA_* (linux/netfilter/nfnetlink_conntrack.h). */
const flowAttributes = attributeTable({
  original: { number: 1, codec: nested(tuple), meaning: "the direction that began the flow" },
  reply: { number: 2, codec: nested(tuple), meaning: "the direction back, after translation" },
  status: { number: 3, codec: be32, meaning: "IPS_*" },
  timeoutSeconds: { number: 7, codec: be32, meaning: "seconds until it is forgotten" },
  mark: { number: 8, codec: be32, meaning: "mark" },
  originalCounters: { number: 9, codec: nested(counters), meaning: "counted in the original direction" },
  replyCounters: { number: 10, codec: nested(counters), meaning: "counted in the direction back" },
  id: { number: 12, codec: be32, meaning: "id of the entry" },
  zone: { number: 18, codec: be16, meaning: "zone" },
  filter: { number: 25, codec: nested(filter), meaning: "limits of a dump (kernel 5.8 and later)" },
});

/** Messages of the connection tracking table: NFNL_SUBSYS_CTNETLINK. */
export const flowBody = bodyOf("flow", flowHeader, flowAttributes);
export type FlowAttributes = DecodedOf<typeof flowAttributes>;
export type FlowInput = InputOf<typeof flowAttributes>;
export type FlowTuple = DecodedOf<typeof tuple>;

/** Subsystem 1 in the high byte, IPCTNL_MSG_CT_* in the low. */
export const flowMessage = { new: 0x100, get: 0x101, delete: 0x102 } as const;

/** CTA_FILTER_FLAG bits (net/netfilter/nf_conntrack_netlink.c). */
export const filterPart = { source: 1, destination: 2, protocol: 8, sourcePort: 16, destinationPort: 32 } as const;
