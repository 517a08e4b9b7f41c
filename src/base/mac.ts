import type { Brand } from "./brand.ts";
import { type Ipv6, ipv6FromBigint } from "./ipv6.ts";

/** A 48-bit Ethernet address, lower case with colons. */
export type Mac = Brand<string, "Mac">;

const pattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

export function parseMac(text: string): Mac | undefined {
  const lower = text.toLowerCase().replaceAll("-", ":");
  return pattern.test(lower) ? (lower as Mac) : undefined;
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(":"), (octet) => Number.parseInt(octet, 16));
}

/** @throws RangeError unless there are exactly 6 bytes */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${bytes.length}`);
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(":") as Mac;
}

/** The address with these bits of its first octet the other way round. */
export function flipFirstOctet(mac: Mac, bits: number): Mac {
  const octet = Number.parseInt(mac.slice(0, 2), 16) ^ bits;
  return `${octet.toString(16).padStart(2, "0")}${mac.slice(2)}` as Mac;
}

/** Whether a card can have it: neither all zero nor the address of a group (IEEE 802 §8.2.2). */
export function isUnicastMac(mac: Mac): boolean {
  return ((macToBytes(mac)[0] ?? 0) & 1) === 0 && mac !== "00:00:00:00:00:00";
}

/** Six bytes of a hash made into a unicast, locally administered address (IEEE 802 §8.2). */
export function macFromHash(hash: Uint8Array): Mac {
  const bytes = Uint8Array.from(hash.subarray(0, 6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return macFromBytes(bytes);
}

/** The link-local address a host forms from its MAC (RFC 4291 appendix A, modified EUI-64). */
export function linkLocalOf(mac: Mac): Ipv6 {
  const b = macToBytes(mac);
  const eui = [(b[0] ?? 0) ^ 2, b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]];
  let value = 0xfe80n << 112n;
  eui.forEach((byte, i) => (value |= BigInt(byte ?? 0) << BigInt(56 - 8 * i)));
  return ipv6FromBigint(value);
}
