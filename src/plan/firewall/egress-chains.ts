import type { Chain, DataType, Field, NftSet, Rule, Statement } from "../../wire/nftables/model.ts";

/**
 * Where a network or an attachment has an egress policy: out go only connections to addresses that the gateway's DNS has pinned for
 * the guest. What connections were let to begin goes on, by the rule for established ones before.
 */

export const egressSets: readonly NftSet[] = [
  { name: "egress", key: ["ifname"], interval: false },
  { name: "egress4", key: ["ipv4_addr"], interval: false },
  { name: "egress6", key: ["ipv6_addr"], interval: false },
  { name: "pinned4", key: pinKey("ipv4_addr"), interval: false, timeout: true },
  { name: "pinned6", key: pinKey("ipv6_addr"), interval: false, timeout: true },
];

/** Sends what a policy is over to the chain that knows it. */
export function egressJumps(chain: "egress" | "egress_host"): Rule[] {
  const jump: Statement = { kind: "verdict", verdict: { kind: "jump", chain } };
  return [
    { id: "egress-network", statements: [inSet(["iifname"], "egress"), jump] },
    { id: "egress-guest-4", statements: [inSet(["ip saddr"], "egress4"), jump] },
    { id: "egress-guest-6", statements: [inSet(["ip6 saddr"], "egress6"), jump] },
  ];
}

/** Sends what begins outside, to whom a policy is over, to the chain that knows what cannot be a beginning. */
export function answerJumps(): Rule[] {
  const jump: Statement = { kind: "verdict", verdict: { kind: "jump", chain: "egress_answers" } };
  return [
    { id: "answers-network", statements: [inSet(["oifname"], "egress"), jump] },
    { id: "answers-guest-4", statements: [inSet(["ip daddr"], "egress4"), jump] },
    { id: "answers-guest-6", statements: [inSet(["ip6 daddr"], "egress6"), jump] },
  ];
}

const tcp = 6;
const udp = 17;
const dns = 53;
const dhcp = { server: 67, server6: 547 };
/** RFC 4443 §4.1. */
const echoRequest = 128;
const finSynRstAck = 0x17;

const accept: Statement = { kind: "verdict", verdict: { kind: "accept" } };
const back: Statement = { kind: "verdict", verdict: { kind: "return" } };
const adminProhibited: Statement = { kind: "reject", with: "icmpx-admin-prohibited" };

/** Towards other networks and the outside. What is pinned still meets the rules that everybody meets. */
const outwards: Chain = {
  name: "egress",
  rules: [
    { id: "pinned-4", statements: [inSet(["ip saddr", "l4proto", "ip daddr", "th dport"], "pinned4"), back] },
    { id: "pinned-6", statements: [inSet(["ip6 saddr", "l4proto", "ip6 daddr", "th dport"], "pinned6"), back] },
    // A reset would bear the address behind the published port, which the guest did not send to.
    {
      id: "refused-published",
      statements: [{ kind: "match", field: "ct status", op: "==", value: "dnat" }, { kind: "count" }, adminProhibited],
    },
    ...refusal(),
  ],
};

/** Towards the host: the gateway's names, addresses and echo, and what finding it takes. */
const inwards: Chain = {
  name: "egress_host",
  rules: [
    { id: "established", statements: [{ kind: "match", field: "ct state", op: "==", value: ["established", "related"] }, back] },
    {
      id: "gateway-4",
      statements: [inSet(["iifname", "ip daddr"], "gateway4"), { kind: "verdict", verdict: { kind: "jump", chain: "egress_gateway" } }],
    },
    {
      id: "gateway-6",
      statements: [inSet(["iifname", "ip6 daddr"], "gateway6"), { kind: "verdict", verdict: { kind: "jump", chain: "egress_gateway" } }],
    },
    {
      id: "dhcp-4",
      statements: [
        { kind: "match", field: "ip daddr", op: "==", value: "255.255.255.255" },
        is("l4proto", udp),
        is("th dport", dhcp.server),
        accept,
      ],
    },
    {
      id: "dhcp-6",
      statements: [
        { kind: "match", field: "ip6 daddr", op: "==", value: "ff02::1:2" },
        is("l4proto", udp),
        is("th dport", dhcp.server6),
        accept,
      ],
    },
    { id: "neighbours", statements: [{ kind: "match", field: "icmpv6 type", op: "!=", value: echoRequest }, back] },
    ...refusal(),
  ],
};

const gateway: Chain = {
  name: "egress_gateway",
  rules: [
    { id: "names", statements: [{ kind: "match", field: "l4proto", op: "==", value: [tcp, udp] }, is("th dport", dns), accept] },
    {
      id: "addresses",
      statements: [is("l4proto", udp), { kind: "match", field: "th dport", op: "==", value: [dhcp.server, dhcp.server6] }, accept],
    },
    { id: "echo", statements: [{ kind: "match", field: "l4proto", op: "==", value: [1, 58] }, accept] },
  ],
};

/** A server that goes on talking on a connection that was forgotten would begin it anew, from its side; where there is no NAT it could. */
const answers: Chain = {
  name: "egress_answers",
  rules: [
    {
      id: "unasked",
      statements: [
        { kind: "match", field: "tcp flags", op: "!=", value: "syn", mask: finSynRstAck },
        { kind: "count" },
        { kind: "reject", with: "tcp-reset" },
      ],
    },
  ],
};

export const egressChains: readonly Chain[] = [outwards, answers, gateway, inwards];

/** A reset ends connections that began before the policy, which an ICMP message would only delay. */
function refusal(): Rule[] {
  return [
    { id: "refused-tcp", statements: [is("l4proto", tcp), { kind: "count" }, { kind: "reject", with: "tcp-reset" }] },
    { id: "refused", statements: [{ kind: "count" }, adminProhibited] },
  ];
}

function pinKey(address: DataType): DataType[] {
  return [address, "inet_proto", address, "inet_service"];
}

function inSet(fields: Field[], set: string): Statement {
  return { kind: "in", fields, op: "==", set };
}

function is(field: Field, value: number): Statement {
  return { kind: "match", field, op: "==", value };
}
