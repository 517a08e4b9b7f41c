import { NexusError, type SpecProblem } from "../base/errors.ts";
import {
  addressAt,
  familyBits,
  makePrefix,
  parsePrefix,
  type Prefix,
  prefixesOverlap,
  prefixFamily,
  prefixLength,
  prefixRange,
} from "../base/prefix.ts";
import { ipFromBigint } from "../base/ip.ts";

/** A prefix that is spoken for, and by what, in words: `the route via eth0`, `network blue`. */
export type TakenPrefix = { prefix: Prefix; by: string };

/** The private range that automatic networks come from (RFC 1918 §3): 4,096 subnets of 254 hosts. */
export const automaticRange: Prefix = known("172.16.0.0/12");

/**
 * The first free IPv4 subnet of that length in the range, overlapping nothing taken.
 * @throws NexusError pool-exhausted
 */
export function pickSubnet(taken: readonly TakenPrefix[], range: Prefix = automaticRange, length = 24): Prefix {
  const { first, last } = prefixRange(range);
  const size = 1n << BigInt(familyBits(prefixFamily(range)) - length);
  const busy = taken
    .filter((entry) => !isDefaultLike(entry.prefix) && prefixesOverlap(entry.prefix, range))
    .map((entry) => prefixRange(entry.prefix))
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  let at = first;
  for (const other of busy) {
    if (other.first > at + size - 1n) break;
    if (other.last >= at) at = roundUp(other.last + 1n - first, size) + first;
  }
  if (at + size - 1n <= last) return makePrefix(ipFromBigint(prefixFamily(range), at), length);
  throw new NexusError("pool-exhausted", `no free /${length} is left in ${range}: routes and networks of this host cover it`, {
    hint: "name a subnet yourself, for example 10.42.0.0/24, or remove networks that are not needed",
    details: { range, length },
  });
}

/**
 * Nothing when the subnet may be used.
 * @throws NexusError subnet-overlap naming everything it overlaps
 */
export function checkSubnet(prefix: Prefix, taken: readonly TakenPrefix[]): void {
  const hits = taken.filter((entry) => !isDefaultLike(entry.prefix) && prefixesOverlap(entry.prefix, prefix));
  if (hits.length === 0) return;
  const named = hits.slice(0, 3).map((hit) => `${hit.prefix} (${hit.by})`);
  const more = hits.length > 3 ? ` and ${hits.length - 3} more` : "";
  throw new NexusError("subnet-overlap", `subnet ${prefix} overlaps ${named.join(", ")}${more}`, {
    hint: 'choose another subnet, or "auto" for one that is free',
    details: { prefix, overlaps: hits },
  });
}

/** What is wrong with a subnet for guests whatever the host's routes are, or undefined. */
export function subnetProblem(prefix: Prefix): Omit<SpecProblem, "path"> | undefined {
  const bits = familyBits(prefixFamily(prefix));
  const length = prefixLength(prefix);
  if (bits - length < 2) {
    const enough = makePrefix(addressAt(prefix, 0n), bits - 2);
    return { problem: `${prefix} has no address left for a guest beside the gateway`, hint: `use a larger subnet, such as ${enough}` };
  }
  const special = specialRanges.find((range) => prefixesOverlap(range.prefix, prefix));
  if (special !== undefined)
    return {
      problem: `${prefix} overlaps ${special.prefix}, ${special.meaning}`,
      hint: "use a private subnet such as 10.42.0.0/24 or fd42::/64",
    };
  return undefined;
}

/**
 * The unique-local /64 of a network (RFC 4193 §3.2): fd, 40 random bits of this host, 16 bits for the network.
 * @throws NexusError pool-exhausted past index 65,535; RangeError unless hostId has 40 bits
 */
export function ulaPrefix(hostId: bigint, networkIndex: number): Prefix {
  if (hostId < 0n || hostId >= 1n << 40n) throw new RangeError(`a host id has 40 bits: ${hostId}`);
  if (networkIndex > 0xffff)
    throw new NexusError("pool-exhausted", "this host's unique-local prefix has 65,535 networks, and all are used");
  const network = (0xfdn << 120n) | (hostId << 80n) | (BigInt(networkIndex) << 64n);
  return makePrefix(ipFromBigint(6, network), 64);
}

/** A default route, or one of the halves and eighths VPNs split it into: it covers everything and reserves nothing. */
function isDefaultLike(prefix: Prefix): boolean {
  return prefixLength(prefix) < (prefixFamily(prefix) === 4 ? 8 : 7);
}

function roundUp(value: bigint, step: bigint): bigint {
  return ((value + step - 1n) / step) * step;
}

const specialRanges = [
  range("0.0.0.0/8", "this host on this network (RFC 1122)"),
  range("127.0.0.0/8", "the loopback addresses (RFC 1122)"),
  range("169.254.0.0/16", "the link-local addresses (RFC 3927)"),
  range("224.0.0.0/3", "multicast and reserved addresses (RFC 5771, RFC 1112)"),
  range("::/8", "reserved for loopback and mapped addresses (RFC 4291)"),
  range("fe80::/10", "the link-local addresses (RFC 4291)"),
  range("ff00::/8", "the multicast addresses (RFC 4291)"),
] as const;

function range(text: string, meaning: string): { prefix: Prefix; meaning: string } {
  return { prefix: known(text), meaning };
}

function known(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (typeof prefix !== "string") throw new RangeError(`not a prefix: ${text}`);
  return prefix;
}
