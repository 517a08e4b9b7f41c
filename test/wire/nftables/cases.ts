import type { Chain, Family, NftSet, Statement, Verdict } from "../../../src/wire/nftables/model.ts";

/** One rule in the model, and the same rule in nft's words, written by hand: what goldens are captured from. */
export type RuleCase = { name: string; family: Family; chain: "plain" | "nat-out" | "nat-in"; statements: Statement[]; text: string };

export const accept: Statement = { kind: "verdict", verdict: { kind: "accept" } };
const drop: Verdict = { kind: "drop" };

/** Sets that rules name, in tables of every family. */
export const caseSets: readonly NftSet[] = [
  { name: "a4", key: ["ipv4_addr"], interval: true },
  { name: "a6", key: ["ipv6_addr"], interval: true },
  { name: "pairs", key: ["ifname", "ifname"], interval: false },
  { name: "macs", key: ["ifname", "ether_addr"], interval: false },
  { name: "hosts", key: ["ifname", "ether_addr", "ipv4_addr"], interval: false },
  { name: "hosts6", key: ["ifname", "ether_addr", "ipv6_addr"], interval: false },
  { name: "pub4", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"], interval: false },
  { name: "pub6", key: ["inet_proto", "inet_service"], data: ["ipv6_addr", "inet_service"], interval: false },
  { name: "range4", key: ["ipv4_addr", "inet_proto", "inet_service"], data: ["ipv4_addr"], interval: true },
  { name: "zone", key: ["ifname"], data: "verdict", interval: false },
  { name: "gauge", key: ["ifname"], data: "counter", interval: false },
];

export const caseCounters: readonly string[] = ["total"];

/** Where the rules of cases go; jumps lead to `aside`. */
export function caseChains(family: Family): Chain[] {
  const aside: Chain = { name: "aside", rules: [] };
  const base = (name: string, type: "filter" | "nat", hook: "prerouting" | "forward" | "input" | "postrouting"): Chain => ({
    name,
    base: { type, hook, priority: 0, policy: "accept" },
    rules: [],
  });
  if (family === "arp") return [aside, base("plain", "filter", "input")];
  if (family === "bridge") return [aside, base("plain", "filter", "forward")];
  return [aside, base("plain", "filter", "forward"), base("nat-in", "nat", "prerouting"), base("nat-out", "nat", "postrouting")];
}

const match = (
  field: Extract<Statement, { kind: "match" }>["field"],
  value: Extract<Statement, { kind: "match" }>["value"],
  op: "==" | "!=" = "==",
): Statement => ({ kind: "match", field, op, value });
const inSet = (fields: Extract<Statement, { kind: "in" }>["fields"], set: string, op: "==" | "!=" = "=="): Statement => ({
  kind: "in",
  fields,
  op,
  set,
});

const c = (name: string, family: Family, text: string, ...statements: Statement[]): RuleCase => ({
  name,
  family,
  chain: "plain",
  text,
  statements,
});
const natIn = (name: string, family: Family, text: string, ...statements: Statement[]): RuleCase => ({
  name,
  family,
  chain: "nat-in",
  text,
  statements,
});
const natOut = (name: string, family: Family, text: string, ...statements: Statement[]): RuleCase => ({
  name,
  family,
  chain: "nat-out",
  text,
  statements,
});

export const ruleCases: readonly RuleCase[] = [
  c("verdicts", "inet", "drop", { kind: "verdict", verdict: drop }),
  c("jump", "inet", "jump aside", { kind: "verdict", verdict: { kind: "jump", chain: "aside" } }),
  c("goto", "inet", "goto aside", { kind: "verdict", verdict: { kind: "goto", chain: "aside" } }),
  c("return", "inet", "return", { kind: "verdict", verdict: { kind: "return" } }),
  c("interface", "inet", 'iifname "nx0" oifname != "nx1" accept', match("iifname", "nx0"), match("oifname", "nx1", "!="), accept),
  c("interface-list", "inet", 'iifname { "a", "b" } accept', match("iifname", ["a", "b"]), accept),
  c("group", "inet", "iifgroup 20056 oifgroup != 20056 accept", match("iifgroup", 20056), match("oifgroup", 20056, "!="), accept),
  c(
    "group-mask",
    "inet",
    "iifgroup & 0xff000000 == 0x4e000000 accept",
    { kind: "match", field: "iifgroup", op: "==", value: 0x4e000000, mask: 0xff000000 },
    accept,
  ),
  c(
    "group-not-mask",
    "inet",
    "oifgroup & 0xff000000 != 0x4e000000 accept",
    { kind: "match", field: "oifgroup", op: "!=", value: 0x4e000000, mask: 0xff000000 },
    accept,
  ),
  c(
    "user-mask",
    "inet",
    "meta skuid & 0xff800000 == 0x7d000000 accept",
    { kind: "match", field: "skuid", op: "==", value: 0x7d000000, mask: 0xff800000 },
    accept,
  ),
  c("mark", "inet", "meta mark 5 accept", match("mark", 5), accept),
  c(
    "ct-mark-mask",
    "inet",
    "ct mark & 0x000000ff == 0x00000007 accept",
    { kind: "match", field: "ct mark", op: "==", value: 7, mask: 0xff },
    accept,
  ),
  c("address", "inet", "ip saddr 10.0.0.1 ip daddr 10.0.0.2 accept", match("ip saddr", "10.0.0.1"), match("ip daddr", "10.0.0.2"), accept),
  c(
    "address-after-family",
    "inet",
    "meta nfproto ipv4 ip saddr 10.0.0.1 accept",
    match("nfproto", "ipv4"),
    match("ip saddr", "10.0.0.1"),
    accept,
  ),
  c("address-in-its-family", "ip", "ip saddr 10.0.0.1 accept", match("ip saddr", "10.0.0.1"), accept),
  c(
    "address-on-bridge",
    "bridge",
    "ip saddr 10.0.0.1 ip daddr != 10.0.0.2 accept",
    match("ip saddr", "10.0.0.1"),
    match("ip daddr", "10.0.0.2", "!="),
    accept,
  ),
  c("prefix-of-bytes", "inet", "ip saddr 10.1.0.0/16 accept", match("ip saddr", { prefix: "10.1.0.0/16" }), accept),
  c("prefix-of-bits", "inet", "ip daddr 10.0.0.0/20 accept", match("ip daddr", "10.0.0.0/20"), accept),
  c("not-prefix-of-bits", "inet", "ip daddr != 10.0.0.0/20 accept", match("ip daddr", "10.0.0.0/20", "!="), accept),
  c("address-range", "inet", "ip saddr 10.0.0.5-10.0.0.9 accept", match("ip saddr", { from: "10.0.0.5", to: "10.0.0.9" }), accept),
  c("address-list", "inet", "ip daddr { 10.0.0.1, 10.0.0.7 } accept", match("ip daddr", ["10.0.0.1", "10.0.0.7"]), accept),
  c(
    "prefix-list",
    "inet",
    "ip daddr != { 224.0.0.0/4, 255.255.255.255 } accept",
    match("ip daddr", ["224.0.0.0/4", "255.255.255.255"], "!="),
    accept,
  ),
  c(
    "address6",
    "inet",
    "ip6 saddr fd00::1 ip6 daddr fd00::/64 accept",
    match("ip6 saddr", "fd00::1"),
    match("ip6 daddr", "fd00::/64"),
    accept,
  ),
  c("prefix6-of-bits", "inet", "ip6 saddr != fd00::/61 accept", match("ip6 saddr", "fd00::/61", "!="), accept),
  c("address6-in-its-family", "ip6", "ip6 saddr fd00::1 accept", match("ip6 saddr", "fd00::1"), accept),
  c("address6-on-bridge", "bridge", "ip6 saddr fd00::1 accept", match("ip6 saddr", "fd00::1"), accept),
  c("protocol", "inet", "ip protocol 47 accept", match("ip protocol", 47), accept),
  c(
    "port",
    "inet",
    "meta l4proto tcp th dport 443 th sport != 80 accept",
    match("l4proto", "tcp"),
    match("th dport", 443),
    match("th sport", 80, "!="),
    accept,
  ),
  c(
    "port-range",
    "inet",
    "meta l4proto udp th dport 10-20 accept",
    match("l4proto", "udp"),
    match("th dport", { from: 10, to: 20 }),
    accept,
  ),
  c(
    "not-port-range",
    "inet",
    "meta l4proto udp th dport != 10-20 accept",
    match("l4proto", "udp"),
    match("th dport", { from: 10, to: 20 }, "!="),
    accept,
  ),
  c(
    "port-list",
    "inet",
    "meta l4proto { tcp, udp } th dport { 53, 853 } accept",
    match("l4proto", ["tcp", "udp"]),
    match("th dport", [53, 853]),
    accept,
  ),
  c(
    "ether",
    "bridge",
    "ether saddr 02:00:00:00:00:01 ether daddr != 02:00:00:00:00:02 accept",
    match("ether saddr", "02:00:00:00:00:01"),
    match("ether daddr", "02:00:00:00:00:02", "!="),
    accept,
  ),
  c("ether-in-inet", "inet", "ether saddr 02:00:00:00:00:01 accept", match("ether saddr", "02:00:00:00:00:01"), accept),
  c("ether-type", "bridge", "ether type arp accept", match("ether type", "arp"), accept),
  c("ether-type-list", "bridge", "ether type != { ip, arp, ip6 } accept", match("ether type", ["ip", "arp", "ip6"], "!="), accept),
  // Not in the order of the header, because nft joins matches of neighbouring bytes into one.
  c(
    "arp",
    "bridge",
    "arp saddr ip 10.0.0.1 arp operation request accept",
    match("arp saddr ip", "10.0.0.1"),
    match("arp operation", 1),
    accept,
  ),
  c("arp-ether", "bridge", "arp saddr ether 02:00:00:00:00:01 accept", match("arp saddr ether", "02:00:00:00:00:01"), accept),
  c(
    "arp-in-its-family",
    "arp",
    "arp saddr ip 10.0.0.1 arp operation reply accept",
    match("arp saddr ip", "10.0.0.1"),
    match("arp operation", "reply"),
    accept,
  ),
  c("icmp", "inet", "icmp type echo-request accept", match("icmp type", "echo-request"), accept),
  c("icmp-on-bridge", "bridge", "icmp type 8 accept", match("icmp type", 8), accept),
  c(
    "icmpv6",
    "inet",
    "icmpv6 type { nd-router-solicit, nd-router-advert } accept",
    match("icmpv6 type", ["nd-router-solicit", "nd-router-advert"]),
    accept,
  ),
  c("icmpv6-on-bridge", "bridge", "icmpv6 type nd-router-advert drop", match("icmpv6 type", 134), { kind: "verdict", verdict: drop }),
  c(
    "nd-target",
    "bridge",
    "icmpv6 type nd-neighbor-advert @th,64,128 0xfe800000000000000000000000000001 accept",
    match("icmpv6 type", 136),
    match("nd target", "fe80::1"),
    accept,
  ),
  c(
    "nd-option",
    "bridge",
    "icmpv6 type nd-neighbor-solicit @th,192,16 0x0101 @th,208,48 != 0x020000000001 drop",
    match("icmpv6 type", 135),
    match("nd source link-layer", "02:00:00:00:00:01", "!="),
    { kind: "verdict", verdict: drop },
  ),
  c("ct-state", "inet", "ct state established,related accept", match("ct state", ["established", "related"]), accept),
  c("ct-state-not", "inet", "ct state ! invalid accept", match("ct state", "invalid", "!="), accept),
  c(
    "tcp-flags",
    "inet",
    "tcp flags & 0x17 != 0x2 drop",
    { kind: "match", field: "tcp flags", op: "!=", value: "syn", mask: 0x17 },
    { kind: "verdict", verdict: { kind: "drop" } },
  ),
  c("ct-status", "inet", "ct status dnat accept", match("ct status", "dnat"), accept),
  c("ct-mark", "inet", "ct mark 9 accept", match("ct mark", 9), accept),
  c("fib", "inet", "fib daddr type local accept", match("fib daddr type", "local"), accept),
  c("fib-list", "inet", "fib daddr type { local, broadcast } accept", match("fib daddr type", ["local", "broadcast"]), accept),
  c("set", "inet", "ip saddr @a4 ip daddr != @a4 accept", inSet(["ip saddr"], "a4"), inSet(["ip daddr"], "a4", "!="), accept),
  c("set6", "inet", "ip6 saddr @a6 accept", inSet(["ip6 saddr"], "a6"), accept),
  c("set-of-pairs", "inet", "iifname . oifname @pairs accept", inSet(["iifname", "oifname"], "pairs"), accept),
  c("set-of-macs", "bridge", "iifname . ether saddr != @macs drop", inSet(["iifname", "ether saddr"], "macs", "!="), {
    kind: "verdict",
    verdict: drop,
  }),
  c(
    "set-of-hosts",
    "bridge",
    "iifname . ether saddr . ip saddr != @hosts drop",
    inSet(["iifname", "ether saddr", "ip saddr"], "hosts", "!="),
    { kind: "verdict", verdict: drop },
  ),
  c(
    "set-of-arp-hosts",
    "bridge",
    "iifname . arp saddr ether . arp saddr ip != @hosts drop",
    inSet(["iifname", "arp saddr ether", "arp saddr ip"], "hosts", "!="),
    { kind: "verdict", verdict: drop },
  ),
  c(
    "set-of-hosts6",
    "bridge",
    "iifname . ether saddr . ip6 saddr != @hosts6 drop",
    inSet(["iifname", "ether saddr", "ip6 saddr"], "hosts6", "!="),
    { kind: "verdict", verdict: drop },
  ),
  c("verdict-map", "inet", "iifname vmap @zone", { kind: "vmap", fields: ["iifname"], map: "zone" }),
  c("inline-verdict-map", "inet", "ct state vmap { established : accept, invalid : jump aside }", {
    kind: "verdicts",
    field: "ct state",
    cases: [
      { value: "established", verdict: { kind: "accept" } },
      { value: "invalid", verdict: { kind: "jump", chain: "aside" } },
    ],
  }),
  c("count", "inet", "counter accept", { kind: "count" }, accept),
  c("count-named", "inet", 'counter name "total" accept', { kind: "count-named", counter: "total" }, accept),
  c("count-by", "inet", "counter name iifname map @gauge", { kind: "count-by", fields: ["iifname"], map: "gauge" }),
  c(
    "set-mark",
    "inet",
    "meta mark set 5 ct mark set 6",
    { kind: "set-mark", field: "mark", value: 5 },
    { kind: "set-mark", field: "ct mark", value: 6 },
  ),
  c("log", "inet", 'log prefix "nexus deny " drop', { kind: "log", prefix: "nexus deny " }, { kind: "verdict", verdict: drop }),
  c("limit", "inet", "limit rate 10/second burst 7 packets accept", { kind: "limit", perSecond: 10, burst: 7 }, accept),
  c("reject", "inet", "reject with icmpx admin-prohibited", { kind: "reject", with: "icmpx-admin-prohibited" }),
  c("reject-port", "inet", "reject with icmpx port-unreachable", { kind: "reject", with: "icmpx-port-unreachable" }),
  c("reject-reset", "inet", "reject with tcp reset", { kind: "reject", with: "tcp-reset" }),
  c("reject-reset-known", "inet", "meta l4proto tcp reject with tcp reset", match("l4proto", "tcp"), { kind: "reject", with: "tcp-reset" }),
  c("reject-ip", "ip", "reject with icmp admin-prohibited", { kind: "reject", with: "icmpx-admin-prohibited" }),
  c("reject-ip6", "ip6", "reject with icmpv6 port-unreachable", { kind: "reject", with: "icmpx-port-unreachable" }),
  natIn("dnat", "inet", "dnat ip to meta l4proto . th dport map @pub4", {
    kind: "dnat",
    family: "ip",
    fields: ["l4proto", "th dport"],
    map: "pub4",
    port: true,
  }),
  natIn("dnat6", "inet", "dnat ip6 to meta l4proto . th dport map @pub6", {
    kind: "dnat",
    family: "ip6",
    fields: ["l4proto", "th dport"],
    map: "pub6",
    port: true,
  }),
  natOut("snat", "inet", "snat ip to 192.0.2.1", { kind: "snat", family: "ip", address: "192.0.2.1" }),
  natOut("snat6", "inet", "snat ip6 to 2001:db8::1", { kind: "snat", family: "ip6", address: "2001:db8::1" }),
  natOut("masquerade", "inet", "masquerade", { kind: "masquerade" }),
  natOut("masquerade-random", "inet", "masquerade fully-random", { kind: "masquerade", random: true }),
  natOut("masquerade-ports", "inet", "meta l4proto tcp masquerade to :1024-65535 fully-random", match("l4proto", "tcp"), {
    kind: "masquerade",
    ports: { from: 1024, to: 65535 },
    random: true,
  }),
  natOut("masquerade-in-its-family", "ip", "masquerade", { kind: "masquerade" }),
];
