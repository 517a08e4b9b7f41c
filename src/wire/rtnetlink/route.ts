import { type Ip, isIpv4 } from "../../base/ip.ts";
import { attributeTable, type DecodedOf } from "../netlink/attributes.ts";
import { bytes, type Codec, ip, u16, u32, u8 } from "../netlink/codecs.ts";
import { align4, type Reader, type Writer } from "../netlink/bytes.ts";
import { nested } from "../netlink/nesting.ts";
import { struct } from "../netlink/struct.ts";
import { bodyOf } from "../netlink/body.ts";
import { addressFamily } from "./messages.ts";

/** struct rtmsg (linux/rtnetlink.h). A table above 255 is in the attribute. */
const routeHeader = struct({
  family: u8,
  destinationLength: u8,
  sourceLength: u8,
  tos: u8,
  table: u8,
  protocol: u8,
  scope: u8,
  type: u8,
  flags: u32,
});

/** RTAX_*: what connections over the route start with. */
const metricAttributes = attributeTable({
  mtu: { number: 2, codec: u32, meaning: "path MTU in bytes" },
  advertisedMss: { number: 8, codec: u32, meaning: "largest TCP segment we announce" },
});

/** RTA_VIA: a gateway of the other family (struct rtvia). */
const via: Codec<Ip> = {
  write(writer, address) {
    writer.u16(isIpv4(address) ? addressFamily.ipv4 : addressFamily.ipv6);
    ip.write(writer, address);
  },
  read(reader) {
    reader.skip(2);
    return ip.read(reader);
  },
};

const hopAttributes = attributeTable({
  gateway: { number: 5, codec: ip, meaning: "next router" },
  via: { number: 18, codec: via, meaning: "next router of the other family" },
});

/** One way of a multipath route (struct rtnexthop); `weight` is at least 1. */
export type RouteHop = { flags: number; weight: number; index: number; attributes: DecodedOf<typeof hopAttributes> };

const hops: Codec<RouteHop[]> = {
  write(writer: Writer, values) {
    for (const hop of values) {
      const start = writer.length;
      writer.u16(0);
      writer.u8(hop.flags);
      writer.u8(hop.weight - 1);
      writer.s32(hop.index);
      hopAttributes.write(writer, hop.attributes);
      writer.patchU16(start, writer.length - start);
    }
  },
  read(reader: Reader) {
    const limit = reader.end;
    const values: RouteHop[] = [];
    while (limit - reader.offset >= 8) {
      const start = reader.offset;
      const length = reader.u16();
      if (length < 8 || length > limit - start) reader.fail(`a next hop claims ${length} bytes`);
      const flags = reader.u8();
      const weight = reader.u8() + 1;
      const index = reader.s32();
      reader.end = start + length;
      values.push({ flags, weight, index, attributes: hopAttributes.read(reader) });
      reader.end = limit;
      reader.offset = Math.min(start + align4(length), limit);
    }
    return values;
  },
};

/** RTA_* (linux/rtnetlink.h). */
const routeAttributes = attributeTable({
  destination: { number: 1, codec: ip, meaning: "destination prefix's address; absent for the default route" },
  source: { number: 2, codec: ip, meaning: "source prefix's address" },
  inputLink: { number: 3, codec: u32, meaning: "link the packet came by" },
  outputLink: { number: 4, codec: u32, meaning: "link the packet leaves by" },
  gateway: { number: 5, codec: ip, meaning: "next router" },
  metric: { number: 6, codec: u32, meaning: "lower is preferred" },
  preferredSource: { number: 7, codec: ip, meaning: "our address on packets we start" },
  metrics: { number: 8, codec: nested(metricAttributes), meaning: "what connections start with" },
  hops: { number: 9, codec: hops, meaning: "several ways at once" },
  cacheInfo: { number: 12, codec: bytes, meaning: "struct rta_cacheinfo" },
  table: { number: 15, codec: u32, meaning: "table" },
  mark: { number: 16, codec: u32, meaning: "mark of the packet that is looked up" },
  via: { number: 18, codec: via, meaning: "next router of the other family" },
  preference: { number: 20, codec: u8, meaning: "router preference (RFC 4191)" },
  user: { number: 25, codec: u32, meaning: "user the lookup is for" },
  ipProtocol: { number: 27, codec: u8, meaning: "transport of the packet that is looked up" },
  sourcePort: { number: 28, codec: u16, meaning: "its source port" },
  destinationPort: { number: 29, codec: u16, meaning: "its destination port" },
  nextHopId: { number: 30, codec: u32, meaning: "next hop object" },
});

/** Messages about routes: RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE. */
export const routeBody = bodyOf("route", routeHeader, routeAttributes);
export type RouteMessage = ReturnType<typeof routeBody.decode>;

/** RTN_* by number. */
export const routeTypes = [
  "unspecified",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
  "nat",
  "external",
] as const;

/** RT_SCOPE_*. */
export const routeScope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** RT_TABLE_*; a table above 255 is written with `compat` in the header. */
export const routeTable = { compat: 252, default: 253, main: 254, local: 255 } as const;

/** RTNH_F_* and RTM_F_* of the header's flags. */
export const routeFlags = { dead: 0x1, onLink: 0x4, linkDown: 0x10, cloned: 0x200, lookupTable: 0x1000 } as const;
