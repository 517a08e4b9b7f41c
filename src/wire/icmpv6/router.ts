import { WireError } from "../../base/errors.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { bufferOf } from "../dhcp/codecs.ts";
import { checksum6, encodeIpv6, type Ipv6Packet, nextHeader } from "./ipv6.ts";
import { decodeNeighbourOptions, encodeNeighbourOption, type NeighbourOption } from "./options.ts";

/** RFC 4861 §4.1 and §4.2. */
export const icmp6Type = { routerSolicit: 133, routerAdvert: 134 } as const;

export type RouterSolicit = { source: Ipv6; options: NeighbourOption[] };

/** Times in seconds unless the name says otherwise; 0 in `hopLimit` and the two ms fields leaves the matter to the host. */
export type RouterAdvert = {
  hopLimit: number;
  /** Addresses are to be had by DHCPv6. */
  managed: boolean;
  /** Other settings are to be had by DHCPv6. */
  other: boolean;
  /** 0 means: do not use this router as the default router. */
  lifetimeSeconds: number;
  reachableMs: number;
  retransmitMs: number;
  options: readonly NeighbourOption[];
};

/** A packet's solicitation, checked as RFC 4861 §6.1.1 says. @throws WireError */
export function decodeRouterSolicit(packet: Ipv6Packet): RouterSolicit {
  const bytes = checkedPayload(packet, icmp6Type.routerSolicit, 8);
  const options = decodeNeighbourOptions(bytes.subarray(8));
  if (packet.source === "::" && options.some((option) => option.kind === "source-mac"))
    throw new WireError("icmpv6", "a solicitation from :: names a MAC");
  return { source: packet.source, options };
}

/** A packet's advertisement, checked as RFC 4861 §6.1.2 says. @throws WireError */
export function decodeRouterAdvert(packet: Ipv6Packet): RouterAdvert {
  const bytes = checkedPayload(packet, icmp6Type.routerAdvert, 16);
  if (!/^fe[89ab]/.test(packet.source)) throw new WireError("icmpv6", `an advertisement from ${packet.source}, which is not link-local`);
  const flags = bytes.readUInt8(5);
  return {
    hopLimit: bytes.readUInt8(4),
    managed: (flags & flagManaged) !== 0,
    other: (flags & flagOther) !== 0,
    lifetimeSeconds: bytes.readUInt16BE(6),
    reachableMs: bytes.readUInt32BE(8),
    retransmitMs: bytes.readUInt32BE(12),
    options: decodeNeighbourOptions(bytes.subarray(16)),
  };
}

/** The advertisement as a packet. @throws WireError when an option does not fit */
export function encodeRouterAdvert(advert: RouterAdvert, way: { source: Ipv6; destination: Ipv6 }): Uint8Array {
  const head = Buffer.alloc(16);
  head.writeUInt8(icmp6Type.routerAdvert, 0);
  head.writeUInt8(advert.hopLimit, 4);
  head.writeUInt8((advert.managed ? flagManaged : 0) | (advert.other ? flagOther : 0), 5);
  head.writeUInt16BE(advert.lifetimeSeconds, 6);
  head.writeUInt32BE(advert.reachableMs, 8);
  head.writeUInt32BE(advert.retransmitMs, 12);
  const payload = Buffer.concat([head, ...advert.options.map(encodeNeighbourOption)]);
  payload.writeUInt16BE(checksum6({ ...way, nextHeader: nextHeader.icmp6, payload }), 2);
  return encodeIpv6({ ...way, nextHeader: nextHeader.icmp6, hopLimit: onlyNeighbours, payload });
}

function checkedPayload(packet: Ipv6Packet, type: number, minimumBytes: number): Buffer {
  const bytes = bufferOf(packet.payload);
  if (packet.nextHeader !== nextHeader.icmp6) throw new WireError("icmpv6", "the packet carries something else");
  if (packet.hopLimit !== onlyNeighbours) throw new WireError("icmpv6", "a router forwarded the packet: its hop limit is not 255");
  if (bytes.length < minimumBytes) throw new WireError("icmpv6", `has ${bytes.length} bytes, at least ${minimumBytes} are wanted`);
  if (bytes.readUInt8(0) !== type || bytes.readUInt8(1) !== 0) throw new WireError("icmpv6", `is not of type ${type}`, 0);
  if (checksum6(packet) !== 0) throw new WireError("icmpv6", "the checksum is wrong", 2);
  return bytes;
}

/** What no router forwards can only come from a neighbour (RFC 4861 §6.1). */
const onlyNeighbours = 255;
const flagManaged = 0x80;
const flagOther = 0x40;
