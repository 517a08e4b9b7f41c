import type { Brand } from "./brand.ts";

/** An IPv4 address in canonical dotted form. Canonical text compares, hashes and stores as it is. */
export type Ipv4 = Brand<string, "Ipv4">;

const dotted = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** The address, or undefined when the text is not exactly four decimal octets without leading zeros (RFC 6943 §3.1.1). */
export function parseIpv4(text: string): Ipv4 | undefined {
  const match = dotted.exec(text);
  if (match === null) return undefined;
  for (let i = 1; i <= 4; i++) if (Number(match[i]) > 255) return undefined;
  return text as Ipv4;
}

/** The address as an unsigned 32-bit number. */
export function ipv4ToNumber(address: Ipv4): number {
  let value = 0;
  let octet = 0;
  for (let i = 0; i < address.length; i++) {
    const c = address.charCodeAt(i);
    if (c === 46) {
      value = value * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + (c - 48);
  }
  return value * 256 + octet;
}

/** @throws RangeError when the value is not an unsigned 32-bit integer */
export function ipv4FromNumber(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError(`not an IPv4 value: ${value}`);
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Ipv4;
}
