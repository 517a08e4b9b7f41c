import { WireError } from "../../base/errors.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { bufferOf } from "../dhcp/codecs.ts";
import { checksum6, encodeIpv6, type Ipv6Packet, nextHeader } from "../icmpv6/ipv6.ts";

/** A UDP datagram in its IPv6 packet. */
export type Udp6 = { source: Ipv6; destination: Ipv6; sourcePort: number; destinationPort: number; payload: Uint8Array };

/** The datagram a packet carries. Its checksum is not looked at: guests of this machine leave it to a network card. @throws WireError */
export function decodeUdp6(packet: Ipv6Packet): Udp6 {
  const bytes = bufferOf(packet.payload);
  if (packet.nextHeader !== nextHeader.udp) throw new WireError("udp", "the packet carries something else");
  const length = bytes.length < udpHeader ? 0 : bytes.readUInt16BE(4);
  if (length < udpHeader || length > bytes.length) throw new WireError("udp", `a length of ${length} does not fit`, 4);
  return {
    source: packet.source,
    destination: packet.destination,
    sourcePort: bytes.readUInt16BE(0),
    destinationPort: bytes.readUInt16BE(2),
    payload: bytes.subarray(udpHeader, length),
  };
}

/** @throws WireError when the payload does not fit one packet */
export function encodeUdp6({ source, destination, sourcePort, destinationPort, payload: data }: Udp6): Uint8Array {
  const payload = Buffer.alloc(udpHeader + data.length);
  if (payload.length > 0xffff) throw new WireError("udp", `${data.length} bytes do not fit a packet`);
  payload.writeUInt16BE(sourcePort, 0);
  payload.writeUInt16BE(destinationPort, 2);
  payload.writeUInt16BE(payload.length, 4);
  payload.set(data, udpHeader);
  const packet = { source, destination, nextHeader: nextHeader.udp, payload };
  // IPv6 has no datagrams without checksum, which zero would mean (RFC 8200 §8.1).
  payload.writeUInt16BE(checksum6(packet) || 0xffff, 6);
  return encodeIpv6({ ...packet, hopLimit: 64 });
}

const udpHeader = 8;
