import assert from "node:assert/strict";
import { test } from "node:test";
import { WireError } from "../../../src/base/errors.ts";
import { compileRule } from "../../../src/wire/nftables/compile.ts";
import type { Expression } from "../../../src/wire/nftables/expression.ts";
import type { Family, Statement } from "../../../src/wire/nftables/model.ts";
import { renderRule } from "../../../src/wire/nftables/render.ts";

const match = (
  field: Extract<Statement, { kind: "match" }>["field"],
  value: Extract<Statement, { kind: "match" }>["value"],
): Statement => ({ kind: "match", field, op: "==", value });

function compiled(family: Family, ...statements: Statement[]): Expression[] {
  let id = 0;
  return compileRule({ id: "r", statements }, { family, nextSetId: () => ++id }).expressions;
}

const guards = (expressions: readonly Expression[]): unknown[] =>
  expressions.filter(({ kind }) => kind === "meta").map((e) => (e.kind === "meta" ? e.key : undefined));

test("a guard is given once in a rule, however many fields ask for it", () => {
  assert.deepEqual(guards(compiled("inet", match("ip saddr", "10.0.0.1"), match("ip daddr", "10.0.0.2"), match("icmp type", 8))), [
    "nfproto",
    "l4proto",
  ]);
  assert.deepEqual(guards(compiled("inet", match("nfproto", "ipv6"), match("l4proto", "icmpv6"), match("icmpv6 type", 135))), [
    "nfproto",
    "l4proto",
  ]);
  assert.deepEqual(guards(compiled("bridge", match("ether type", "ip6"), match("ip6 saddr", "fd00::1"))), []);
  assert.deepEqual(guards(compiled("ip", match("ip saddr", "10.0.0.1"))), []);
});

test("fields that cannot be in one packet, or not in the family, are refused with the rule's name", () => {
  const refused: [Family, ...Statement[]][] = [
    ["inet", match("ip saddr", "10.0.0.1"), match("ip6 daddr", "fd00::1")],
    ["inet", match("nfproto", "ipv4"), match("ip6 daddr", "fd00::1")],
    ["bridge", match("ether type", "arp"), match("ip saddr", "10.0.0.1")],
    ["bridge", match("nd source link-layer", "02:00:00:00:00:01"), match("nd target link-layer", "02:00:00:00:00:01")],
    ["ip6", match("ip saddr", "10.0.0.1")],
    ["inet", match("arp operation", 1)],
  ];
  for (const [family, ...statements] of refused) {
    assert.throws(() => compiled(family, ...statements), /rule r, statement \d/);
    assert.throws(() => renderRule({ id: "r", statements }, family), WireError);
  }
});

test("values a field cannot be compared with are refused", () => {
  const refused: Statement[] = [
    match("ip saddr", []),
    match("mark", { from: 1, to: 5 }),
    match("iifgroup", [1, { from: 3, to: 5 }]),
    match("ip saddr", { from: "10.0.0.9", to: "10.0.0.1" }),
    match("ip saddr", "10.0.0.1/8"),
    match("ct state", { from: 1, to: 2 }),
    { kind: "match", field: "iifname", op: "==", value: "a", mask: 1 },
    { kind: "match", field: "ct state", op: "==", value: "new", mask: 1 },
    { kind: "in", fields: ["iifname", "oifname", "ip6 saddr", "ip6 daddr", "th dport"], op: "==", set: "s" },
  ];
  for (const statement of refused) assert.throws(() => compiled("inet", statement), WireError, JSON.stringify(statement));
});

test("ranges of a list are joined where they meet, so the kernel takes them", () => {
  const { sets } = compileRule(
    {
      id: "r",
      statements: [
        match("ip saddr", ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7", "255.0.0.0/8", { from: "254.0.0.0", to: "254.255.255.255" }]),
      ],
    },
    { family: "inet", nextSetId: () => 1 },
  );
  assert.deepEqual(sets[0]?.elements, [{ key: ["10.0.0.0/23"] }, { key: ["254.0.0.0/7"] }]);
});

test("concatenated fields lie in registers one after another, each from a new word", () => {
  const loads = compiled("bridge", { kind: "in", fields: ["iifname", "ether saddr", "ip saddr"], op: "==", set: "s" });
  assert.deepEqual(
    loads.flatMap((e) => ("dreg" in e && e.kind !== "lookup" ? [e.dreg] : [])),
    [1, 1, 2, 14],
  );
});
