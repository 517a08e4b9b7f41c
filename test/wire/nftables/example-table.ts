import type { Element, Rule, Statement, Table } from "../../../src/wire/nftables/model.ts";

const group = 20056;
const verdict = (kind: "accept" | "drop"): Statement => ({ kind: "verdict", verdict: { kind } });
const jump = (chain: string): Statement => ({ kind: "verdict", verdict: { kind: "jump", chain } });
const notMulticast: Statement = { kind: "match", field: "ip daddr", op: "!=", value: ["224.0.0.0/4", "255.255.255.255"] };
const toAttached: Statement[] = [
  { kind: "in", fields: ["ip saddr"], op: "==", set: "nat4" },
  { kind: "in", fields: ["ip daddr"], op: "!=", set: "nat4" },
  notMulticast,
];
const localOnly: Statement[] = [
  { kind: "match", field: "nfproto", op: "==", value: "ipv4" },
  { kind: "match", field: "fib daddr type", op: "==", value: "local" },
  jump("dn"),
];

let serial = 0;
const rule = (...statements: Statement[]): Rule => ({ id: `r${++serial}`, statements });

/** Three networks, a peer, an isolated and an egress-limited one: the shape every statement of the engine comes from. */
export const exampleTable: Table = {
  family: "inet",
  name: "nexus",
  comment: "",
  counters: ["cA"],
  sets: [
    { name: "pub4", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"], interval: false },
    { name: "pub4r", key: ["inet_proto", "inet_service"], data: ["ipv4_addr"], interval: true },
    { name: "pubip4", key: ["ipv4_addr", "inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"], interval: false },
    { name: "nat4", key: ["ipv4_addr"], interval: true },
    { name: "peers", key: ["ifname", "ifname"], interval: false },
    { name: "hair4", key: ["ipv4_addr", "ipv4_addr"], interval: true },
    { name: "zone", key: ["ifname"], data: "verdict", interval: false },
    { name: "cnt", key: ["ifname"], data: "counter", interval: false },
  ],
  chains: [
    {
      name: "net_B",
      rules: [
        rule(
          { kind: "match", field: "ip daddr", op: "==", value: "198.51.100.0/24" },
          { kind: "match", field: "l4proto", op: "==", value: "tcp" },
          { kind: "match", field: "th dport", op: "==", value: 443 },
          verdict("accept"),
        ),
        rule({ kind: "reject", with: "icmpx-port-unreachable" }),
      ],
    },
    {
      name: "guard",
      base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" },
      rules: [
        rule(
          { kind: "match", field: "iifname", op: "!=", value: "lo" },
          { kind: "match", field: "ip daddr", op: "==", value: { prefix: "127.0.0.0/8" } },
          verdict("drop"),
        ),
        rule(
          { kind: "match", field: "iifgroup", op: "!=", value: group },
          { kind: "match", field: "iifname", op: "!=", value: "lo" },
          { kind: "in", fields: ["ip daddr"], op: "==", set: "nat4" },
          verdict("drop"),
        ),
      ],
    },
    {
      name: "dn",
      rules: [
        rule({ kind: "dnat", family: "ip", fields: ["ip daddr", "l4proto", "th dport"], map: "pubip4", port: true }),
        rule({ kind: "dnat", family: "ip", fields: ["l4proto", "th dport"], map: "pub4", port: true }),
        rule({ kind: "dnat", family: "ip", fields: ["l4proto", "th dport"], map: "pub4r", port: false }),
      ],
    },
    { name: "pre", base: { type: "nat", hook: "prerouting", priority: -105, policy: "accept" }, rules: [rule(...localOnly)] },
    { name: "out", base: { type: "nat", hook: "output", priority: -105, policy: "accept" }, rules: [rule(...localOnly)] },
    {
      name: "flt",
      base: { type: "filter", hook: "forward", priority: -10, policy: "accept" },
      rules: [
        rule(
          { kind: "match", field: "iifgroup", op: "!=", value: group },
          { kind: "match", field: "oifgroup", op: "!=", value: group },
          verdict("accept"),
        ),
        rule({ kind: "count-by", fields: ["iifname"], map: "cnt" }),
        rule({
          kind: "verdicts",
          field: "ct state",
          cases: [
            { value: "established", verdict: { kind: "accept" } },
            { value: "related", verdict: { kind: "accept" } },
            { value: "invalid", verdict: { kind: "drop" } },
          ],
        }),
        rule({ kind: "match", field: "ct status", op: "==", value: "dnat" }, verdict("accept")),
        rule({ kind: "in", fields: ["iifname", "oifname"], op: "==", set: "peers" }, verdict("accept")),
        rule(
          { kind: "match", field: "iifgroup", op: "==", value: group },
          { kind: "match", field: "oifgroup", op: "==", value: group },
          verdict("drop"),
        ),
        rule({ kind: "vmap", fields: ["iifname"], map: "zone" }),
      ],
    },
    {
      name: "post",
      base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
      rules: [
        rule(
          { kind: "match", field: "ct status", op: "==", value: ["dnat"] },
          { kind: "in", fields: ["ip saddr", "ip daddr"], op: "==", set: "hair4" },
          { kind: "masquerade" },
        ),
        rule(
          { kind: "match", field: "ip saddr", op: "==", value: "127.0.0.0/8" },
          { kind: "match", field: "oifgroup", op: "==", value: group },
          { kind: "masquerade" },
        ),
        rule(
          ...toAttached,
          { kind: "match", field: "l4proto", op: "==", value: ["tcp", "udp"] },
          { kind: "masquerade", ports: { from: 1024, to: 65535 }, random: true },
        ),
        rule(...toAttached, { kind: "masquerade" }),
      ],
    },
  ],
};

export const exampleElements: ReadonlyMap<string, Element[]> = new Map<string, Element[]>([
  ["pub4", [{ key: ["tcp", 8080], data: { values: ["10.61.0.2", 80] } }]],
  ["pub4r", [{ key: ["tcp", { from: 10000, to: 20000 }], data: { values: ["10.61.0.2"] } }]],
  ["pubip4", [{ key: ["127.0.0.1", "tcp", 9090], data: { values: ["10.61.0.2", 80] } }]],
  ["nat4", [{ key: ["10.61.0.0/24"] }, { key: ["10.62.0.0/24"] }, { key: ["10.63.0.0/24"] }]],
  [
    "peers",
    [
      ["nxA", "nxA"],
      ["nxB", "nxB"],
      ["nxC", "nxC"],
      ["nxA", "nxC"],
      ["nxC", "nxA"],
    ].map((key) => ({ key })),
  ],
  ["hair4", [{ key: ["10.61.0.0/24", "10.61.0.0/24"] }, { key: ["10.62.0.0/24", "10.62.0.0/24"] }]],
  ["zone", [{ key: ["nxB"], data: { verdict: { kind: "jump", chain: "net_B" } } }]],
  ["cnt", [{ key: ["nxA"], data: { counter: "cA" } }]],
]);
