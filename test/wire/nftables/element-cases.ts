import type { Element, NftSet } from "../../../src/wire/nftables/model.ts";

/** Elements in the model and in nft's words. */
export type ElementCase = { name: string; set: NftSet; elements: Element[]; text: string };

export const elementCases: readonly ElementCase[] = [
  { name: "names", set: set("names", ["ifname"]), elements: [{ key: ["nx0"], comment: "web" }], text: '"nx0" comment "web"' },
  { name: "pairs", set: set("pairs", ["ifname", "ifname"]), elements: [{ key: ["nx0", "nx1"] }], text: '"nx0" . "nx1"' },
  { name: "marks", set: set("marks", ["mark"]), elements: [{ key: [0x01020304] }], text: "0x01020304" },
  {
    name: "hosts",
    set: set("hosts", ["ifname", "ether_addr", "ipv4_addr"]),
    elements: [{ key: ["nx0", "02:00:00:00:00:01", "10.0.0.2"] }],
    text: '"nx0" . 02:00:00:00:00:01 . 10.0.0.2',
  },
  {
    name: "hosts6",
    set: set("hosts6", ["ifname", "ether_addr", "ipv6_addr"]),
    elements: [{ key: ["nx0", "02:00:00:00:00:01", "fd00::2"] }],
    text: '"nx0" . 02:00:00:00:00:01 . fd00::2',
  },
  {
    name: "short-lived",
    set: { ...set("short-lived", ["ipv4_addr", "inet_proto", "ipv4_addr", "inet_service"]), timeout: true },
    elements: [{ key: ["10.0.0.2", 6, "192.0.2.1", 443], lifeMs: 90_000, comment: "a.test" }],
    text: '10.0.0.2 . tcp . 192.0.2.1 . 443 timeout 90s comment "a.test"',
  },
  // From 0 on, because nft puts an end mark at 0 before the first interval of a set, which the kernel does not need.
  { name: "low", set: { ...set("low", ["ipv4_addr"]), interval: true }, elements: [{ key: ["0.0.0.0/8"] }], text: "0.0.0.0/8" },
  {
    name: "everything",
    set: { ...set("everything", ["ipv4_addr"]), interval: true },
    elements: [{ key: ["0.0.0.0/0"] }],
    text: "0.0.0.0/0",
  },
  {
    name: "low6",
    set: { ...set("low6", ["ipv6_addr"]), interval: true },
    elements: [{ key: [{ from: "::", to: "::fe" }] }],
    text: "::-::fe",
  },
  {
    name: "subnets",
    set: { ...set("subnets", ["ipv4_addr", "ipv4_addr"]), interval: true },
    elements: [{ key: ["10.61.0.0/24", "10.62.0.1"] }],
    text: "10.61.0.0/24 . 10.62.0.1",
  },
  {
    name: "ranges",
    set: { ...set("ranges", ["ipv4_addr", "inet_proto", "inet_service"]), data: ["ipv4_addr"], interval: true },
    elements: [{ key: ["192.0.2.1", "tcp", { from: 1000, to: 2000 }], data: { values: ["10.0.0.2"] }, comment: "a" }],
    text: '192.0.2.1 . tcp . 1000-2000 comment "a" : 10.0.0.2',
  },
  {
    name: "published",
    set: { ...set("published", ["inet_proto", "inet_service"]), data: ["ipv4_addr", "inet_service"] },
    elements: [{ key: ["udp", 53], data: { values: ["10.0.0.2", 5353] } }],
    text: "udp . 53 : 10.0.0.2 . 5353",
  },
  {
    name: "published6",
    set: { ...set("published6", ["inet_service"]), data: ["ipv6_addr", "inet_service"] },
    elements: [{ key: [80], data: { values: ["fd00::2", 8080] } }],
    text: "80 : fd00::2 . 8080",
  },
  {
    name: "jumps",
    set: { ...set("jumps", ["ifname"]), data: "verdict" },
    elements: [{ key: ["nx0"], data: { verdict: { kind: "jump", chain: "aside" } } }],
    text: '"nx0" : jump aside',
  },
  {
    name: "judged",
    set: { ...set("judged", ["inet_service"]), data: "verdict" },
    elements: [{ key: [22], data: { verdict: { kind: "drop" } } }],
    text: "22 : drop",
  },
  {
    name: "meters",
    set: { ...set("meters", ["ifname"]), data: "counter" },
    elements: [{ key: ["nx0"], data: { counter: "total" } }],
    text: '"nx0" : "total"',
  },
];

function set(name: string, key: NftSet["key"]): NftSet {
  return { name, key, interval: false };
}
