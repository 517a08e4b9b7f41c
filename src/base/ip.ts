import { type Ipv4, ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "./ipv4.ts";
import { type Ipv6, ipv6FromBigint, ipv6ToBigint, parseIpv6 } from "./ipv6.ts";

export type Ip = Ipv4 | Ipv6;
export type IpFamily = 4 | 6;

export function parseIp(text: string): Ip | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

export function ipFamily(address: Ip): IpFamily {
  return isIpv4(address) ? 4 : 6;
}

export function isIpv4(address: Ip): address is Ipv4 {
  return !address.includes(":");
}

/** The address as a number of 32 or 128 bits. */
export function ipToBigint(address: Ip): bigint {
  return isIpv4(address) ? BigInt(ipv4ToNumber(address)) : ipv6ToBigint(address);
}

export function ipFromBigint(family: IpFamily, value: bigint): Ip {
  return family === 4 ? ipv4FromNumber(Number(value)) : ipv6FromBigint(value);
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(address: Ip): Uint8Array {
  if (isIpv4(address)) {
    const n = ipv4ToNumber(address);
    return Uint8Array.of(n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);
  }
  const out = new Uint8Array(16);
  let value = ipv6ToBigint(address);
  for (let i = 15; i >= 0; i--) {
    out[i] = Number(value & 255n);
    value >>= 8n;
  }
  return out;
}

/** @throws RangeError unless there are exactly 4 or 16 bytes */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Ipv4;
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return ipv6FromBigint(value);
}

/** 0.0.0.0 or ::, which stand for every address of their family. */
export function isUnspecified(address: Ip): boolean {
  return (address as string) === "0.0.0.0" || (address as string) === "::";
}

/** Numeric order, IPv4 before IPv6. */
export function compareIp(a: Ip, b: Ip): number {
  const family = ipFamily(a) - ipFamily(b);
  if (family !== 0) return family;
  const x = ipToBigint(a);
  const y = ipToBigint(b);
  return x < y ? -1 : x > y ? 1 : 0;
}
