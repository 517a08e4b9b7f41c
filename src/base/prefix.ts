import type { Brand } from "./brand.ts";
import { type Ip, type IpFamily, ipFamily, ipFromBigint, ipToBigint, parseIp } from "./ip.ts";

/** A network in canonical CIDR form, host bits zero: `10.0.42.0/24`, `fd00:1::/64`. */
export type Prefix = Brand<string, "Prefix">;

/** An address with the length of its network: `10.0.42.1/24`. Host bits may be set. */
export type Cidr = Brand<string, "Cidr">;

export type PrefixFault = "syntax" | "length" | "host-bits";

/** The prefix, or why it is none. `host-bits` means the address has bits below the mask. */
export function parsePrefix(text: string): Prefix | { fault: PrefixFault; meant?: Prefix } {
  const cidr = splitCidr(text);
  if ("fault" in cidr) return cidr;
  const network = makePrefix(cidr.address, cidr.length);
  const given = `${cidr.address}/${cidr.length}`;
  return given === network ? network : { fault: "host-bits", meant: network };
}

/** The address with its length, or undefined. */
export function parseCidr(text: string): Cidr | undefined {
  const cidr = splitCidr(text);
  return "fault" in cidr ? undefined : makeCidr(cidr.address, cidr.length);
}

/** The network of that length around an address; host bits are cleared. @throws RangeError on a length out of range */
export function makePrefix(address: Ip, length: number): Prefix {
  const family = ipFamily(address);
  const bits = familyBits(family);
  checkLength(length, bits);
  const shift = BigInt(bits - length);
  return `${ipFromBigint(family, (ipToBigint(address) >> shift) << shift)}/${length}` as Prefix;
}

export function makeCidr(address: Ip, length: number): Cidr {
  checkLength(length, familyBits(ipFamily(address)));
  return `${address}/${length}` as Cidr;
}

export function prefixLength(prefix: Prefix | Cidr): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

/** The address part; for a prefix, its network address. */
export function prefixAddress(prefix: Prefix | Cidr): Ip {
  return prefix.slice(0, prefix.indexOf("/")) as Ip;
}

export function prefixFamily(prefix: Prefix | Cidr): IpFamily {
  return prefix.includes(":") ? 6 : 4;
}

export function networkOf(cidr: Cidr): Prefix {
  return makePrefix(prefixAddress(cidr), prefixLength(cidr));
}

/** First and last address as numbers, both included. */
export function prefixRange(prefix: Prefix): { first: bigint; last: bigint } {
  const first = ipToBigint(prefixAddress(prefix));
  const size = 1n << BigInt(familyBits(prefixFamily(prefix)) - prefixLength(prefix));
  return { first, last: first + size - 1n };
}

export function prefixContains(prefix: Prefix, address: Ip): boolean {
  if (prefixFamily(prefix) !== ipFamily(address)) return false;
  const { first, last } = prefixRange(prefix);
  const value = ipToBigint(address);
  return value >= first && value <= last;
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  if (prefixFamily(a) !== prefixFamily(b)) return false;
  const x = prefixRange(a);
  const y = prefixRange(b);
  return x.first <= y.last && y.first <= x.last;
}

/** The n-th address of a prefix, 0 being the network address. @throws RangeError past its end */
export function addressAt(prefix: Prefix, n: bigint): Ip {
  const { first, last } = prefixRange(prefix);
  if (n < 0n || first + n > last) throw new RangeError(`${prefix} has no address number ${n}`);
  return ipFromBigint(prefixFamily(prefix), first + n);
}

export function familyBits(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128;
}

function splitCidr(text: string): { address: Ip; length: number } | { fault: PrefixFault } {
  const slash = text.indexOf("/");
  const address = slash === -1 ? undefined : parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return { fault: "syntax" };
  const length = Number(digits);
  return length > familyBits(ipFamily(address)) ? { fault: "length" } : { address, length };
}

function checkLength(length: number, bits: number): void {
  if (!Number.isInteger(length) || length < 0 || length > bits) throw new RangeError(`prefix length ${length} is not within 0-${bits}`);
}
