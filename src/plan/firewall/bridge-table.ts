import type { Field, Rule, Statement, Table } from "../../wire/nftables/model.ts";
import { groupBase, groupMask } from "../group.ts";

/**
 * The bridged side: a guest sends only from the MAC and addresses it was given. Applies to ports of ours alone, and to what
 * guests send; what the host sends into a bridge does not pass this hook.
 */
export function bridgeTable(comment: string): Table {
  return {
    family: "bridge",
    name: "nexus",
    comment,
    counters: [],
    sets: [
      { name: "mac", key: ["ifname", "ether_addr"], interval: false },
      { name: "source4", key: ["ifname", "ether_addr", "ipv4_addr"], interval: false },
      { name: "source6", key: ["ifname", "ether_addr", "ipv6_addr"], interval: false },
    ],
    chains: [{ name: "from_guest", base: { type: "filter", hook: "prerouting", priority: -300, policy: "accept" }, rules: rules() }],
  };
}

const ethernet = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd };
const udp = 17;
const dhcpServer = 67;
const dhcpClient = 68;
const arpRequest = 1;
const dhcp6 = { client: 546, server: 547 };
/** Reserved by IANA: no packet is of it. */
const noProtocol = 255;
/** RFC 4861 §4, RFC 3810 §5.2. */
const icmp6 = { routerSolicit: 133, routerAdvert: 134, neighbourSolicit: 135, neighbourAdvert: 136, redirect: 137, listenerReport: 143 };

function rules(): Rule[] {
  const source4: Field[] = ["iifname", "ether saddr", "ip saddr"];
  const source6: Field[] = ["iifname", "ether saddr", "ip6 saddr"];
  return [
    { id: "not-ours", statements: [{ kind: "match", field: "iifgroup", op: "!=", value: groupBase, mask: groupMask }, verdict("accept")] },
    dropRule("foreign-mac", { kind: "in", fields: ["iifname", "ether saddr"], op: "!=", set: "mac" }),
    dropRule("dhcp-server-4", is("ether type", ethernet.ipv4), is("l4proto", udp), is("th sport", dhcpServer)),
    // From whatever port: clients look at where an answer goes, not at where it comes from.
    dropRule("dhcp-answer-4", is("ether type", ethernet.ipv4), is("l4proto", udp), is("th dport", dhcpClient)),
    // A client without an address yet (RFC 2131 §4.1); what it asks only reaches those who may not answer, and us.
    {
      id: "dhcp-client-4",
      statements: [
        is("ether type", ethernet.ipv4),
        { kind: "match", field: "ip saddr", op: "==", value: "0.0.0.0" },
        { kind: "match", field: "ip daddr", op: "==", value: "255.255.255.255" },
        is("l4proto", udp),
        is("th sport", dhcpClient),
        is("th dport", dhcpServer),
        verdict("accept"),
      ],
    },
    dropRule("foreign-source-4", is("ether type", ethernet.ipv4), { kind: "in", fields: source4, op: "!=", set: "source4" }),
    // Whether its new address is free, asked from none (RFC 5227 §2.1.1). Asked about another's, it would keep that one from being taken.
    {
      id: "arp-probe",
      statements: [
        is("ether type", ethernet.arp),
        { kind: "match", field: "arp saddr ip", op: "==", value: "0.0.0.0" },
        is("arp operation", arpRequest),
        { kind: "in", fields: ["iifname", "arp saddr ether", "arp daddr ip"], op: "==", set: "source4" },
        verdict("accept"),
      ],
    },
    dropRule("foreign-arp", is("ether type", ethernet.arp), {
      kind: "in",
      fields: ["iifname", "arp saddr ether", "arp saddr ip"],
      op: "!=",
      set: "source4",
    }),
    dropRule("router-advert", is("ether type", ethernet.ipv6), {
      kind: "match",
      field: "icmpv6 type",
      op: "==",
      value: [icmp6.routerAdvert, icmp6.redirect],
    }),
    dropRule("dhcp-server-6", is("ether type", ethernet.ipv6), is("l4proto", udp), is("th sport", dhcp6.server)),
    dropRule("dhcp-answer-6", is("ether type", ethernet.ipv6), is("l4proto", udp), is("th dport", dhcp6.client)),
    // Whose address is advertised counts; where the advert's option then leads it is the sender's own loss.
    dropRule("foreign-neighbour", is("ether type", ethernet.ipv6), is("icmpv6 type", icmp6.neighbourAdvert), {
      kind: "in",
      fields: ["iifname", "ether saddr", "nd target"],
      op: "!=",
      set: "source6",
    }),
    // As with ARP: whether an address is free is asked about one's own.
    dropRule(
      "foreign-probe",
      is("ether type", ethernet.ipv6),
      is("icmpv6 type", icmp6.neighbourSolicit),
      { kind: "match", field: "ip6 saddr", op: "==", value: "::" },
      { kind: "in", fields: ["iifname", "ether saddr", "nd target"], op: "!=", set: "source6" },
    ),
    // A host without an address yet asks from the unspecified one: is it free (RFC 4862 §5.4.2), who routes (RFC 4861 §4.1), and which
    // groups it listens to (RFC 3810 §5.2.13).
    {
      id: "before-address",
      statements: [
        is("ether type", ethernet.ipv6),
        { kind: "match", field: "icmpv6 type", op: "==", value: [icmp6.neighbourSolicit, icmp6.routerSolicit, icmp6.listenerReport] },
        { kind: "match", field: "ip6 saddr", op: "==", value: "::" },
        verdict("accept"),
      ],
    },
    dropRule("foreign-source-6", is("ether type", ethernet.ipv6), { kind: "in", fields: source6, op: "!=", set: "source6" }),
    dropRule("foreign-protocol", { kind: "match", field: "ether type", op: "!=", value: [ethernet.ipv4, ethernet.arp, ethernet.ipv6] }),
    // What is carried cannot be told where a fragment cuts the chain of headers (RFC 7112): the rules above would have passed it over.
    {
      id: "headers-whole",
      statements: [is("ether type", ethernet.ipv6), { kind: "match", field: "l4proto", op: "!=", value: noProtocol }, verdict("accept")],
    },
    dropRule("headers-cut", is("ether type", ethernet.ipv6)),
  ];
}

function is(field: Field, value: number): Statement {
  return { kind: "match", field, op: "==", value };
}

function verdict(kind: "accept" | "drop"): Statement {
  return { kind: "verdict", verdict: { kind } };
}

function dropRule(id: string, ...statements: Statement[]): Rule {
  return { id, statements: [...statements, { kind: "count" }, verdict("drop")] };
}
