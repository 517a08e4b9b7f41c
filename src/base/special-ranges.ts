import { type Ip, ipFamily, ipToBigint } from "./ip.ts";
import { parsePrefix, type Prefix, prefixFamily, prefixRange } from "./prefix.ts";

/**
 * Addresses that are no host of the public Internet, or that stand for another address inside them (IANA special-purpose
 * registries, RFC 6890). The first that fits names an address, so the narrow ones come first.
 */
export const specialRanges: readonly { prefix: Prefix; meaning: string }[] = (
  [
    ["0.0.0.0/8", "this network"],
    ["10.0.0.0/8", "private"],
    ["100.100.100.200/32", "cloud metadata"],
    ["100.64.0.0/10", "carrier-grade NAT"],
    ["127.0.0.0/8", "loopback"],
    ["168.63.129.16/32", "cloud metadata"],
    ["169.254.169.254/32", "cloud metadata"],
    ["169.254.0.0/16", "link-local"],
    ["172.16.0.0/12", "private"],
    ["192.0.0.192/32", "cloud metadata"],
    ["192.0.0.0/24", "protocol assignments"],
    ["192.0.2.0/24", "documentation"],
    ["192.88.99.0/24", "6to4 relays"],
    ["192.168.0.0/16", "private"],
    ["198.18.0.0/15", "benchmarking"],
    ["198.51.100.0/24", "documentation"],
    ["203.0.113.0/24", "documentation"],
    ["224.0.0.0/4", "multicast"],
    ["255.255.255.255/32", "broadcast"],
    ["240.0.0.0/4", "reserved"],
    ["::/128", "this host"],
    ["::1/128", "loopback"],
    ["::/96", "IPv4-compatible"],
    ["::ffff:0.0.0.0/96", "IPv4-mapped"],
    ["::ffff:0:0:0/96", "IPv4-translated"],
    ["64:ff9b::/96", "NAT64"],
    ["64:ff9b:1::/48", "NAT64"],
    ["100::/64", "discard"],
    ["2001::/32", "Teredo"],
    ["2001:2::/48", "benchmarking"],
    ["2001:10::/28", "ORCHID"],
    ["2001:20::/28", "ORCHID"],
    ["2001::/23", "protocol assignments"],
    ["2001:db8::/32", "documentation"],
    ["2002::/16", "6to4"],
    ["3ffe::/16", "6bone"],
    ["3fff::/20", "documentation"],
    ["fd00:ec2::254/128", "cloud metadata"],
    ["fd20:ce::254/128", "cloud metadata"],
    ["fd00:42::42/128", "cloud metadata"],
    ["fd00:a9fe:a9fe::1/128", "cloud metadata"],
    ["fc00::/7", "unique local"],
    ["fe80::/10", "link-local"],
    ["fec0::/10", "site-local"],
    ["ff00::/8", "multicast"],
    // RFC 4291 §2.4 and its registry: global unicast is 2000::/3, and whatever else there may be one day is not known to us.
    ["::/3", "not global unicast"],
    ["4000::/2", "not global unicast"],
    ["8000::/1", "not global unicast"],
  ] as const
).map(([text, meaning]) => ({ prefix: range(text), meaning }));

const ranges = specialRanges.map(({ prefix, meaning }) => ({ family: prefixFamily(prefix), ...prefixRange(prefix), meaning }));

/** What an address is when it is no host of the public Internet: "loopback", "private", …; undefined for all others. */
export function specialMeaning(address: Ip): string | undefined {
  const family = ipFamily(address);
  const value = ipToBigint(address);
  return ranges.find((it) => it.family === family && value >= it.first && value <= it.last)?.meaning;
}

function range(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (typeof prefix === "string") return prefix;
  throw new TypeError(`${text} is no prefix`);
}
