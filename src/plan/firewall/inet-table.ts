import type { Chain, DataType, Field, NftSet, Rule, Statement, Table } from "../../wire/nftables/model.ts";
import { groupBase, groupMask } from "../group.ts";
import type { NetworkRecord } from "../records.ts";
import { answerJumps, egressChains, egressJumps, egressSets } from "./egress-chains.ts";

/**
 * The routed side: publish, isolation, guards, NAT. `accept` ends only our own base chain, so traffic that is not ours
 * meets exactly the rules it met before; nothing here has a drop policy.
 */
export function inetTable(comment: string, networks: readonly NetworkRecord[]): Table {
  return {
    family: "inet",
    name: "nexus",
    comment,
    sets: sets(),
    counters: networks.flatMap((n) => [counterName(n, "out"), counterName(n, "in")]),
    chains: [guard, publish4, publish6, masquerade4, masquerade6, ...egressChains, prerouting, output, input, forward, postrouting],
  };
}

export function counterName(network: { index: number }, direction: "out" | "in"): string {
  return `${direction}${network.index}`;
}

const from = groupMatch("iifgroup", "==");
const to = groupMatch("oifgroup", "==");
const notFrom = groupMatch("iifgroup", "!=");
const notTo = groupMatch("oifgroup", "!=");
const accept: Statement = { kind: "verdict", verdict: { kind: "accept" } };
const drop: Statement = { kind: "verdict", verdict: { kind: "drop" } };
const reject: Statement = { kind: "reject", with: "icmpx-admin-prohibited" };
const count: Statement = { kind: "count" };
const isV4: Statement = { kind: "match", field: "nfproto", op: "==", value: 2 };
const isV6: Statement = { kind: "match", field: "nfproto", op: "==", value: 10 };
const dnatted: Statement = { kind: "match", field: "ct status", op: "==", value: "dnat" };
const toLocal: Statement = { kind: "match", field: "fib daddr type", op: "==", value: "local" };

function groupMatch(field: "iifgroup" | "oifgroup", op: "==" | "!="): Statement {
  return { kind: "match", field, op, value: groupBase, mask: groupMask };
}

function rule(id: string, ...statements: Statement[]): Rule {
  return { id, statements };
}

function inSet(fields: Field[], set: string, op: "==" | "!=" = "=="): Statement {
  return { kind: "in", fields, op, set };
}

function jump(chain: string): Statement {
  return { kind: "verdict", verdict: { kind: "jump", chain } };
}

/** Before connection tracking, so addresses here are those on the wire: a published connection still shows the host's. */
const guard: Chain = {
  name: "guard",
  base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" },
  rules: [
    rule("loopback-from-guest", from, { kind: "match", field: "ip daddr", op: "==", value: { prefix: "127.0.0.0/8" } }, count, drop),
    rule("direct-access-4", notFrom, notLoopback(), inSet(["ip daddr"], "guarded4"), count, drop),
    rule("direct-access-6", notFrom, notLoopback(), inSet(["ip6 daddr"], "guarded6"), count, drop),
  ],
};

const publish4 = publishChain("publish4", "ip", "ip daddr", "4");
const publish6 = publishChain("publish6", "ip6", "ip6 daddr", "6");

const masquerade4 = masqueradeChain("masquerade4");
const masquerade6 = masqueradeChain("masquerade6");

function publishChain(name: string, family: "ip" | "ip6", destination: Field, suffix: string): Chain {
  const port: Field[] = ["l4proto", "th dport"];
  const at: Field[] = [destination, ...port];
  const dnat = (fields: Field[], map: string, withPort: boolean): Statement => ({
    kind: "dnat",
    family,
    fields,
    map: `${map}${suffix}`,
    port: withPort,
  });
  return {
    name,
    rules: [
      // A published port 53 takes nothing from the names that gateways answer.
      rule(
        "gateway-dns",
        { kind: "match", field: "l4proto", op: "==", value: [6, 17] },
        { kind: "match", field: "th dport", op: "==", value: 53 },
        inSet([destination], `ours${suffix}`),
        { kind: "verdict", verdict: { kind: "return" } },
      ),
      rule("one-address", dnat(at, "publish_at", true)),
      rule("one-address-range", dnat(at, "publish_at_range", false)),
      rule("any-address", dnat(port, "publish", true)),
      rule("any-address-range", dnat(port, "publish_range", false)),
    ],
  };
}

const prerouting: Chain = {
  name: "prerouting",
  // Just before dstnat (-100): whoever translates first keeps the connection, and ours are exact matches.
  base: { type: "nat", hook: "prerouting", priority: -105, policy: "accept" },
  rules: [
    // Translation comes before the kernel's test for packets to 127/8 from a wire, so it must leave them to that test.
    rule("publish-4", isV4, { kind: "match", field: "ip daddr", op: "!=", value: { prefix: "127.0.0.0/8" } }, toLocal, jump("publish4")),
    rule("publish-6", isV6, toLocal, jump("publish6")),
  ],
};

const output: Chain = {
  name: "output",
  base: { type: "nat", hook: "output", priority: -105, policy: "accept" },
  rules: [
    rule("publish-4", isV4, toLocal, jump("publish4")),
    // ::1 cannot be routed out of the loopback device; the daemon carries those connections itself.
    rule("publish-6", isV6, { kind: "match", field: "ip6 daddr", op: "!=", value: "::1" }, toLocal, jump("publish6")),
  ],
};

/** Guests reach the gateway of their own network and of its peers, not that of another network. */
const input: Chain = {
  name: "input",
  base: { type: "filter", hook: "input", priority: -10, policy: "accept" },
  rules: [
    rule("not-ours", notFrom, accept),
    ...egressJumps("egress_host"),
    rule("own-gateway-4", inSet(["iifname", "ip daddr"], "gateway4"), accept),
    rule("own-gateway-6", inSet(["iifname", "ip6 daddr"], "gateway6"), accept),
    rule("established", { kind: "match", field: "ct state", op: "==", value: ["established", "related"] }, accept),
    rule("other-gateway-4", inSet(["ip daddr"], "ours4"), count, reject),
    rule("other-gateway-6", inSet(["ip6 daddr"], "ours6"), count, reject),
    rule("internal", inSet(["iifname"], "internal"), { kind: "match", field: "fib daddr type", op: "==", value: "local" }, count, reject),
  ],
};

const forward: Chain = {
  name: "forward",
  base: { type: "filter", hook: "forward", priority: -10, policy: "accept" },
  rules: [
    rule("not-ours", notFrom, notTo, accept),
    rule("count-out", { kind: "count-by", fields: ["iifname"], map: "count_out" }),
    rule("count-in", { kind: "count-by", fields: ["oifname"], map: "count_in" }),
    rule("state", {
      kind: "verdicts",
      field: "ct state",
      cases: [
        { value: "established", verdict: { kind: "accept" } },
        { value: "related", verdict: { kind: "accept" } },
        { value: "invalid", verdict: { kind: "drop" } },
      ],
    }),
    rule("peers", inSet(["iifname", "oifname"], "peers"), accept),
    rule("from-internal", inSet(["iifname"], "internal"), count, reject),
    rule("to-internal", inSet(["oifname"], "internal"), count, reject),
    // Before what is published: under br_netfilter a translated frame stays on the bridge, whose ports keep these guests apart.
    rule("apart", inSet(["iifname", "oifname"], "apart"), count, reject),
    // Guests of one network and of peers are among themselves; whatever else leaves a network leaves it by its egress policy.
    ...egressJumps("egress"),
    rule("published", dnatted, accept),
    rule("isolation", from, to, count, reject),
    ...answerJumps(),
  ],
};

const postrouting: Chain = {
  name: "postrouting",
  base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
  rules: [
    // One look at the source spares everybody else the rest.
    rule(
      "not-ours-4",
      inSet(["ip saddr"], "ours4", "!="),
      { kind: "match", field: "ip saddr", op: "!=", value: { prefix: "127.0.0.0/8" } },
      accept,
    ),
    rule("not-ours-6", inSet(["ip6 saddr"], "ours6", "!="), accept),
    // By address pair, not by interface: under br_netfilter the interface seen here is the bridge port.
    rule("hairpin-4", dnatted, inSet(["ip saddr", "ip daddr"], "hairpin4"), { kind: "masquerade" }),
    rule("hairpin-6", dnatted, inSet(["ip6 saddr", "ip6 daddr"], "hairpin6"), { kind: "masquerade" }),
    rule("loopback-publish", { kind: "match", field: "ip saddr", op: "==", value: { prefix: "127.0.0.0/8" } }, to, { kind: "masquerade" }),
    leaving("ip saddr", "ip daddr", "4", ["224.0.0.0/4", "255.255.255.255/32"]),
    leaving("ip6 saddr", "ip6 daddr", "6", ["ff00::/8"]),
  ],
};

function leaving(source: Field, destination: Field, suffix: string, exempt: string[]): Rule {
  const elsewhere = exempt.map((prefix): Statement => ({ kind: "match", field: destination, op: "!=", value: { prefix } }));
  return rule(
    `leaving-${suffix}`,
    inSet([source], `nat${suffix}`),
    inSet([destination], `ours${suffix}`, "!="),
    ...elsewhere,
    jump(`masquerade${suffix}`),
  );
}

/** Ports below 1024 are never taken, so a guest cannot pass for a privileged process of the host (NFS and rsh trust them). */
function masqueradeChain(name: string): Chain {
  const ports: Statement = { kind: "match", field: "l4proto", op: "==", value: [6, 17] };
  return {
    name,
    rules: [
      rule("ports", ports, { kind: "masquerade", ports: { from: 1024, to: 65535 }, random: true }),
      rule("no-ports", { kind: "masquerade" }),
    ],
  };
}

function notLoopback(): Statement {
  return { kind: "match", field: "iifname", op: "!=", value: "lo" };
}

function sets(): NftSet[] {
  const perFamily = (suffix: "4" | "6"): NftSet[] => {
    const address: DataType = suffix === "4" ? "ipv4_addr" : "ipv6_addr";
    return [
      { name: `publish${suffix}`, key: ["inet_proto", "inet_service"], data: [address, "inet_service"], interval: false },
      { name: `publish_range${suffix}`, key: ["inet_proto", "inet_service"], data: [address], interval: true },
      { name: `publish_at${suffix}`, key: [address, "inet_proto", "inet_service"], data: [address, "inet_service"], interval: false },
      { name: `publish_at_range${suffix}`, key: [address, "inet_proto", "inet_service"], data: [address], interval: true },
      { name: `ours${suffix}`, key: [address], interval: true },
      { name: `nat${suffix}`, key: [address], interval: true },
      { name: `guarded${suffix}`, key: [address], interval: true },
      { name: `hairpin${suffix}`, key: [address, address], interval: true },
      { name: `gateway${suffix}`, key: ["ifname", address], interval: false },
    ];
  };
  return [
    ...perFamily("4"),
    ...perFamily("6"),
    ...egressSets,
    { name: "peers", key: ["ifname", "ifname"], interval: false },
    { name: "apart", key: ["ifname", "ifname"], interval: false },
    { name: "internal", key: ["ifname"], interval: false },
    { name: "count_out", key: ["ifname"], data: "counter", interval: false },
    { name: "count_in", key: ["ifname"], data: "counter", interval: false },
  ];
}
