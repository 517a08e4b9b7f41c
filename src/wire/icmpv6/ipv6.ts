import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { internetChecksum } from "../dhcp/checksum.ts";
import { bufferOf } from "../dhcp/codecs.ts";

/** An IPv6 packet whose payload follows the header at once (RFC 8200 §3). */
export type Ipv6Packet = { source: Ipv6; destination: Ipv6; nextHeader: number; hopLimit: number; payload: Uint8Array };

export const nextHeader = { udp: 17, icmp6: 58 } as const;

/** The packet; extension headers are left in the payload, bytes after its end ignored. @throws WireError */
export function decodeIpv6(packet: Uint8Array): Ipv6Packet {
  const bytes = bufferOf(packet);
  if (bytes.length < headerBytes) throw new WireError("ipv6", `has ${bytes.length} bytes, at least ${headerBytes} are wanted`);
  if (bytes.readUInt8(0) >>> 4 !== 6) throw new WireError("ipv6", "is no IPv6 header", 0);
  const end = headerBytes + bytes.readUInt16BE(4);
  if (end > bytes.length) throw new WireError("ipv6", `a payload up to byte ${end} does not fit`, 4);
  return {
    nextHeader: bytes.readUInt8(6),
    hopLimit: bytes.readUInt8(7),
    source: ipFromBytes(bytes.subarray(8, 24)) as Ipv6,
    destination: ipFromBytes(bytes.subarray(24, 40)) as Ipv6,
    payload: bytes.subarray(headerBytes, end),
  };
}

/** @throws WireError when the payload does not fit one packet */
export function encodeIpv6(packet: Ipv6Packet): Uint8Array {
  if (packet.payload.length > 0xffff) throw new WireError("ipv6", `${packet.payload.length} bytes do not fit a packet`);
  const out = Buffer.alloc(headerBytes + packet.payload.length);
  out.writeUInt8(0x60, 0);
  out.writeUInt16BE(packet.payload.length, 4);
  out.writeUInt8(packet.nextHeader, 6);
  out.writeUInt8(packet.hopLimit, 7);
  out.set(ipToBytes(packet.source), 8);
  out.set(ipToBytes(packet.destination), 24);
  out.set(packet.payload, headerBytes);
  return out;
}

/** The checksum of an upper layer with its pseudo-header (RFC 8200 §8.1); 0 over a payload whose own checksum is right. */
export function checksum6(packet: Omit<Ipv6Packet, "hopLimit">): number {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(packet.payload.length, 0);
  tail.writeUInt8(packet.nextHeader, 7);
  return internetChecksum(ipToBytes(packet.source), ipToBytes(packet.destination), tail, packet.payload);
}

const headerBytes = 40;
