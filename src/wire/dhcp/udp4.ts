import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv4 } from "../../base/ipv4.ts";
import { internetChecksum } from "./checksum.ts";
import { bufferOf } from "./codecs.ts";

/** A UDP datagram in its IPv4 packet. */
export type Udp4 = { source: Ipv4; destination: Ipv4; sourcePort: number; destinationPort: number; payload: Uint8Array };

/**
 * An IPv4 packet (RFC 791) that carries UDP (RFC 768). Options are passed over, fragments refused. Checksums are not looked at:
 * a guest on this machine leaves them to a network card the packet never meets. @throws WireError
 */
export function decodeUdp4(packet: Uint8Array): Udp4 {
  const bytes = bufferOf(packet);
  if (bytes.length < ipHeader) throw new WireError("ipv4", `has ${bytes.length} bytes, at least ${ipHeader} are wanted`);
  const headerBytes = 4 * (bytes.readUInt8(0) & 15);
  const total = bytes.readUInt16BE(2);
  if (bytes.readUInt8(0) >>> 4 !== 4 || headerBytes < ipHeader) throw new WireError("ipv4", "is no IPv4 header", 0);
  if (total > bytes.length || headerBytes + udpHeader > total) throw new WireError("ipv4", `a length of ${total} does not fit`, 2);
  if ((bytes.readUInt16BE(6) & moreOrOffset) !== 0) throw new WireError("ipv4", "is a fragment", 6);
  if (bytes.readUInt8(9) !== protocolUdp) throw new WireError("ipv4", "carries no UDP", 9);
  const length = bytes.readUInt16BE(headerBytes + 4);
  if (length < udpHeader || headerBytes + length > total) throw new WireError("udp", `a length of ${length} does not fit`, headerBytes + 4);
  return {
    source: ipFromBytes(bytes.subarray(12, 16)) as Ipv4,
    destination: ipFromBytes(bytes.subarray(16, 20)) as Ipv4,
    sourcePort: bytes.readUInt16BE(headerBytes),
    destinationPort: bytes.readUInt16BE(headerBytes + 2),
    payload: bytes.subarray(headerBytes + udpHeader, headerBytes + length),
  };
}

/** The packet with both checksums, not to be fragmented. @throws WireError when the payload does not fit one packet */
export function encodeUdp4(datagram: Udp4): Uint8Array {
  const { payload } = datagram;
  const length = udpHeader + payload.length;
  if (ipHeader + length > 0xffff) throw new WireError("udp", `${payload.length} bytes do not fit a packet`);
  const out = Buffer.alloc(ipHeader + length);
  const addresses = Buffer.concat([ipToBytes(datagram.source), ipToBytes(datagram.destination)]);
  out.writeUInt8(0x45, 0);
  out.writeUInt16BE(out.length, 2);
  out.writeUInt16BE(doNotFragment, 6);
  out.writeUInt8(timeToLive, 8);
  out.writeUInt8(protocolUdp, 9);
  out.set(addresses, 12);
  out.writeUInt16BE(internetChecksum(out.subarray(0, ipHeader)), 10);
  const udp = out.subarray(ipHeader);
  udp.writeUInt16BE(datagram.sourcePort, 0);
  udp.writeUInt16BE(datagram.destinationPort, 2);
  udp.writeUInt16BE(length, 4);
  udp.set(payload, udpHeader);
  const pseudo = Uint8Array.of(...addresses, 0, protocolUdp, length >>> 8, length);
  // Zero would mean that there is no checksum (RFC 768).
  udp.writeUInt16BE(internetChecksum(pseudo, udp) || 0xffff, 6);
  return out;
}

const ipHeader = 20;
const udpHeader = 8;
const protocolUdp = 17;
const doNotFragment = 0x4000;
const moreOrOffset = 0x3fff;
const timeToLive = 64;
