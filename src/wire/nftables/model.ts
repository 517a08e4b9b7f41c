/** A ruleset in nft's own terms, as plain data: what plan/ writes, kernel/firewall applies, and a dump gives back. */

export type Family = "inet" | "bridge" | "ip" | "ip6" | "netdev" | "arp";
export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting";

export type Table = {
  family: Family;
  name: string;
  /** Text kept in the table's user data (comment TLV): who owns it. */
  comment: string;
  chains: Chain[];
  sets: NftSet[];
  /** Named counters. */
  counters: string[];
};

export type Chain = {
  name: string;
  /** Absent for a chain that is only jumped to. */
  base?: { type: "filter" | "nat" | "route"; hook: Hook; priority: number; policy: "accept" | "drop" };
  rules: Rule[];
};

/** `id` goes into the rule's user data as its comment; unique within its chain, and changes whenever the statements do. */
export type Rule = { id: string; statements: Statement[] };

/** A set, a map or a verdict map. `key` is a concatenation when it has several parts. */
export type NftSet = {
  name: string;
  key: DataType[];
  /** Absent for a plain set. */
  data?: DataType[] | "verdict" | "counter";
  interval: boolean;
  /** Its elements have a life, and go by themselves when it ends. */
  timeout?: true;
};

export type DataType =
  | "ipv4_addr"
  | "ipv6_addr"
  | "ether_addr"
  | "inet_proto"
  | "inet_service"
  | "ifname"
  | "mark"
  | "ether_type"
  | "devgroup"
  | "ct_state";

/**
 * One element. Key parts are in the set's order, in the text forms of base/ (addresses, MACs, interface names) or numbers (ports, protocols).
 * A part may be a range or prefix where the set has `interval`.
 */
export type Element = {
  key: KeyPart[];
  data?: ElementData;
  comment?: string;
  /** Milliseconds it has left to live, in a set with `timeout`. */
  lifeMs?: number;
};
export type KeyPart = string | number | { from: string | number; to: string | number };
export type ElementData = { values: (string | number)[] } | { verdict: Verdict } | { counter: string };

export type Verdict = { kind: "accept" | "drop" | "return" } | { kind: "jump" | "goto"; chain: string };

/** A packet or connection property; compile.ts holds the table of what each loads and how nft writes it. */
export type Field =
  | "iifname"
  | "oifname"
  | "iifgroup"
  | "oifgroup"
  | "skuid"
  | "nfproto"
  | "l4proto"
  | "mark"
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "ip protocol"
  | "th sport"
  | "th dport"
  | "tcp flags"
  | "ether saddr"
  | "ether daddr"
  | "ether type"
  | "arp saddr ether"
  | "arp saddr ip"
  | "arp daddr ip"
  | "arp operation"
  | "icmpv6 type"
  | "icmp type"
  | "nd target"
  | "nd source link-layer"
  | "nd target link-layer"
  | "ct state"
  | "ct status"
  | "ct mark"
  | "fib daddr type";

export type Statement =
  /** Field against a constant, a range, or a list; `mask` is applied first (iifgroup & 0xff000000). Flags fields (ct state, ct status) match when any bit is set. */
  | { kind: "match"; field: Field; op: "==" | "!="; value: MatchValue; mask?: number }
  /** Concatenated fields looked up in a set. */
  | { kind: "in"; fields: Field[]; op: "==" | "!="; set: string }
  | { kind: "vmap"; fields: Field[]; map: string }
  /** Verdicts spelled out in the rule, as in `ct state vmap { established : accept }`. */
  | { kind: "verdicts"; field: Field; cases: { value: string | number; verdict: Verdict }[] }
  | { kind: "verdict"; verdict: Verdict }
  /** Destination from a map: address, or address and port when `port` is true. */
  | { kind: "dnat"; family: "ip" | "ip6"; fields: Field[]; map: string; port: boolean }
  | { kind: "masquerade"; ports?: { from: number; to: number }; random?: boolean }
  | { kind: "snat"; family: "ip" | "ip6"; address: string }
  | { kind: "reject"; with: "icmpx-admin-prohibited" | "icmpx-port-unreachable" | "tcp-reset" }
  | { kind: "count" }
  /** Adds to the named counter that a map gives for the key; nothing when the key is absent. */
  | { kind: "count-by"; fields: Field[]; map: string }
  | { kind: "count-named"; counter: string }
  | { kind: "set-mark"; field: "mark" | "ct mark"; value: number }
  | { kind: "log"; prefix: string }
  | { kind: "limit"; perSecond: number; burst: number };

/** A text with a slash is a prefix, as `{ prefix }` is. A list may mix all of them. */
export type MatchItem = string | number | { from: string | number; to: string | number } | { prefix: string };
export type MatchValue = MatchItem | readonly MatchItem[];

/** One change of a batch; a batch is all or nothing. */
export type FirewallChange =
  | { kind: "add-table"; table: Table }
  | { kind: "delete-table"; family: Family; name: string }
  | { kind: "add-elements"; family: Family; table: string; set: string; elements: Element[] }
  | { kind: "delete-elements"; family: Family; table: string; set: string; elements: Element[] }
  | { kind: "add-counters"; family: Family; table: string; names: string[] }
  | { kind: "delete-counters"; family: Family; table: string; names: string[] }
  | { kind: "add-chain"; family: Family; table: string; chain: Chain }
  | { kind: "delete-chain"; family: Family; table: string; name: string };
