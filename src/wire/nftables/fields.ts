import type { Field } from "./model.ts";
import type { Need } from "./guards.ts";
import type { ValueType } from "./datatypes.ts";

export type PayloadBase = "link" | "network" | "transport";
export type MetaKey = "protocol" | "mark" | "iifname" | "oifname" | "iiftype" | "nfproto" | "l4proto" | "iifgroup" | "oifgroup" | "skuid";
export type CtKey = "state" | "status" | "mark";

/** Where a field's bytes come from. Offsets and lengths are bytes. */
export type Load =
  | { kind: "payload"; base: PayloadBase; offset: number; length: number }
  | { kind: "meta"; key: MetaKey }
  | { kind: "ct"; key: CtKey }
  | { kind: "fib-type"; of: "saddr" | "daddr" };

export type FieldDefinition = {
  type: ValueType;
  /** How nft text names it. */
  text: string;
  load: Load;
  /** What must hold about the packet before the load means anything; guards.ts turns each into matches. */
  needs: readonly Need[];
  /** nft text has no name for it, so nft adds no guards by itself and prints bare numbers. */
  raw?: true;
  /** A set of bits: a match is "any of these". */
  flags?: true;
};

const meta = (key: MetaKey): Load => ({ kind: "meta", key });
const at = (base: PayloadBase, offset: number, length: number): Load => ({ kind: "payload", base, offset, length });

/**
 * Every field of the model: RFC 791, 8200, 9293, 826, 792, 4443 and 4861 give the offsets, nf_tables.h the keys.
 * A field is matched only in packets that have it, with "!=" too: `ip saddr != X` says nothing of IPv6, and the link-layer
 * fields of neighbour discovery say nothing of messages whose first option is another. So accept what is right and drop the rest.
 */
export const fields = {
  iifname: { type: "ifname", text: "iifname", load: meta("iifname"), needs: [] },
  oifname: { type: "ifname", text: "oifname", load: meta("oifname"), needs: [] },
  iifgroup: { type: "devgroup", text: "iifgroup", load: meta("iifgroup"), needs: [] },
  oifgroup: { type: "devgroup", text: "oifgroup", load: meta("oifgroup"), needs: [] },
  skuid: { type: "uid", text: "meta skuid", load: meta("skuid"), needs: [] },
  nfproto: { type: "nf_proto", text: "meta nfproto", load: meta("nfproto"), needs: [] },
  l4proto: { type: "inet_proto", text: "meta l4proto", load: meta("l4proto"), needs: [] },
  mark: { type: "mark", text: "meta mark", load: meta("mark"), needs: [] },
  "ip saddr": { type: "ipv4_addr", text: "ip saddr", load: at("network", 12, 4), needs: ["ipv4"] },
  "ip daddr": { type: "ipv4_addr", text: "ip daddr", load: at("network", 16, 4), needs: ["ipv4"] },
  "ip protocol": { type: "inet_proto", text: "ip protocol", load: at("network", 9, 1), needs: ["ipv4"] },
  "ip6 saddr": { type: "ipv6_addr", text: "ip6 saddr", load: at("network", 8, 16), needs: ["ipv6"] },
  "ip6 daddr": { type: "ipv6_addr", text: "ip6 daddr", load: at("network", 24, 16), needs: ["ipv6"] },
  "th sport": { type: "inet_service", text: "th sport", load: at("transport", 0, 2), needs: [] },
  "th dport": { type: "inet_service", text: "th dport", load: at("transport", 2, 2), needs: [] },
  "tcp flags": { type: "tcp_flag", text: "tcp flags", load: at("transport", 13, 1), needs: ["tcp"] },
  "ether saddr": { type: "ether_addr", text: "ether saddr", load: at("link", 6, 6), needs: ["ethernet"] },
  "ether daddr": { type: "ether_addr", text: "ether daddr", load: at("link", 0, 6), needs: ["ethernet"] },
  "ether type": { type: "ether_type", text: "ether type", load: at("link", 12, 2), needs: ["ethernet"] },
  "arp operation": { type: "arp_op", text: "arp operation", load: at("network", 6, 2), needs: ["arp"] },
  "arp saddr ether": { type: "ether_addr", text: "arp saddr ether", load: at("network", 8, 6), needs: ["arp"] },
  "arp saddr ip": { type: "ipv4_addr", text: "arp saddr ip", load: at("network", 14, 4), needs: ["arp"] },
  "arp daddr ip": { type: "ipv4_addr", text: "arp daddr ip", load: at("network", 24, 4), needs: ["arp"] },
  "icmp type": { type: "icmp_type", text: "icmp type", load: at("transport", 0, 1), needs: ["icmp"] },
  "icmpv6 type": { type: "icmpv6_type", text: "icmpv6 type", load: at("transport", 0, 1), needs: ["icmpv6"] },
  "nd target": { type: "ipv6_addr", text: "@th,64,128", load: at("transport", 8, 16), needs: ["icmpv6"], raw: true },
  "nd source link-layer": {
    type: "ether_addr",
    text: "@th,208,48",
    load: at("transport", 26, 6),
    needs: ["icmpv6", "nd-source-option"],
    raw: true,
  },
  "nd target link-layer": {
    type: "ether_addr",
    text: "@th,208,48",
    load: at("transport", 26, 6),
    needs: ["icmpv6", "nd-target-option"],
    raw: true,
  },
  "ct state": { type: "ct_state", text: "ct state", load: { kind: "ct", key: "state" }, needs: [], flags: true },
  "ct status": { type: "ct_status", text: "ct status", load: { kind: "ct", key: "status" }, needs: [], flags: true },
  "ct mark": { type: "mark", text: "ct mark", load: { kind: "ct", key: "mark" }, needs: [] },
  "fib daddr type": { type: "fib_addrtype", text: "fib daddr type", load: { kind: "fib-type", of: "daddr" }, needs: [] },
} as const satisfies Record<Field, FieldDefinition>;

export function fieldOf(name: Field): FieldDefinition {
  return fields[name];
}
