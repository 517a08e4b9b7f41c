import { ipFamily, ipToBytes, type Ip } from "../../base/ip.ts";
import { familyBits, parsePrefix, prefixAddress, prefixFamily, prefixLength, type Prefix } from "../../base/prefix.ts";
import { type DnsName, nameFromText } from "../../wire/dns/name.ts";

/** The name whose PTR record names an address: `5.42.0.10.in-addr.arpa`, or nibbles under `ip6.arpa` (RFC 3596 §2.5). */
export function reverseName(address: Ip): DnsName {
  return reverseOf(digitsOf(address), ipFamily(address));
}

/**
 * The reverse zones that make up a prefix, each on a label boundary: one for 10.0.42.0/24, sixteen for a /20.
 * At most 128 for IPv4 and 8 for IPv6.
 */
export function reverseZones(prefix: Prefix): DnsName[] {
  const family = prefixFamily(prefix);
  const perLabel = family === 4 ? 8 : 4;
  const length = prefixLength(prefix);
  const labels = Math.ceil(length / perLabel);
  const count = 1 << (labels * perLabel - length);
  const digits = digitsOf(prefixAddress(prefix)).slice(0, labels);
  if (labels === 0) return [reverseOf([], family)];
  const last = digits[labels - 1] ?? 0;
  return Array.from({ length: count }, (_, i) => reverseOf([...digits.slice(0, -1), last + i], family));
}

/** Labels of a complete reverse name, `in-addr.arpa` or `ip6.arpa` included; undefined for other names. */
export function reverseLabels(topLabels: DnsName): number | undefined {
  if (topLabels === inAddrArpa) return familyBits(4) / 8 + 2;
  return topLabels === ip6Arpa ? familyBits(6) / 4 + 2 : undefined;
}

/** Ranges that mean nothing outside one site; asking the world about them only leaks (RFC 6303, RFC 7793). */
export function privateReverseZones(): DnsName[] {
  const ranges = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::/128",
    "::1/128",
  ];
  return ranges.flatMap((range) => {
    const prefix = parsePrefix(range);
    return typeof prefix === "string" ? reverseZones(prefix) : [];
  });
}

const inAddrArpa = nameFromText("in-addr.arpa");
const ip6Arpa = nameFromText("ip6.arpa");

function digitsOf(address: Ip): number[] {
  const bytes = [...ipToBytes(address)];
  return ipFamily(address) === 4 ? bytes : bytes.flatMap((byte) => [byte >> 4, byte & 15]);
}

function reverseOf(digits: readonly number[], family: 4 | 6): DnsName {
  const labels = digits.toReversed().map((digit) => digit.toString(family === 4 ? 10 : 16));
  return labels.map((label) => String.fromCharCode(label.length) + label).join("") + (family === 4 ? inAddrArpa : ip6Arpa);
}
