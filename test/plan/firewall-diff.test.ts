import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { diffTable, sameStructure } from "../../src/plan/firewall-diff.ts";
import { ruleset } from "../../src/plan/firewall/ruleset.ts";
import { ElementBytes } from "../../src/wire/nftables/element-bytes.ts";
import type { Element, FirewallChange, Table } from "../../src/wire/nftables/model.ts";
import type { ObservedTable } from "../../src/wire/nftables/observed.ts";
import { sample } from "./sample.ts";

const wanted = ruleset(sample());
const table = wanted.tables[0] ?? assert.fail();
const elements = new Map(table.sets.map((set) => [set.name, wanted.elements.get(`inet nexus ${set.name}`) ?? []]));

describe("the difference of a table", () => {
  test("that is as it should be is nothing", () => {
    assert.deepEqual(diffTable(table, elements, observedOf(table, elements)), []);
  });

  test("that is absent is the table and its elements", () => {
    const changes = diffTable(table, elements, undefined);
    assert.deepEqual(changes[0], { kind: "add-table", table });
    assert.deepEqual(
      changes.slice(1).map((c) => c.kind === "add-elements" && c.set),
      [...elements].filter(([, list]) => list.length > 0).map(([set]) => set),
    );
  });

  test("in elements alone is those elements, whatever the two hold", () => {
    const [set, list] = ["publish4", elements.get("publish4") ?? []] as const;
    const port = fc.integer({ min: 1, max: 6 });
    const some = fc
      .uniqueArray(fc.record({ port, to: fc.constantFrom("10.7.0.10", "10.7.0.11"), comment: fc.constantFrom("guest a", "guest b") }), {
        selector: (e) => e.port,
      })
      .map((all) => all.map((e): Element => ({ key: [6, e.port], data: { values: [e.to, 80] }, comment: e.comment })));
    fc.assert(
      fc.property(some, some, (should, has) => {
        const changes = diffTable(table, new Map([...elements, [set, should]]), observedOf(table, new Map([...elements, [set, has]])));
        const bytes = new ElementBytes(table.sets.find((s) => s.name === set) ?? assert.fail());
        const state = new Map(has.map((e) => [bytes.identity(e), bytes.content(e)]));
        for (const change of changes) {
          assert.ok((change.kind === "add-elements" || change.kind === "delete-elements") && change.set === set);
          for (const e of change.elements) {
            assert.equal(state.has(bytes.identity(e)), change.kind === "delete-elements");
            if (change.kind === "add-elements") state.set(bytes.identity(e), bytes.content(e));
            else state.delete(bytes.identity(e));
          }
        }
        assert.deepEqual(state, new Map(should.map((e) => [bytes.identity(e), bytes.content(e)])));
      }),
    );
    assert.ok(list.length > 0);
  });

  test("in counters: one comes before what names it and goes after", () => {
    const without: Table = { ...table, counters: table.counters.slice(2) };
    const fewer = new Map([
      ...elements,
      ["count_out", (elements.get("count_out") ?? []).slice(1)],
      ["count_in", (elements.get("count_in") ?? []).slice(1)],
    ]);
    const kinds = (changes: FirewallChange[]) => changes.map((c) => c.kind);
    assert.deepEqual(kinds(diffTable(table, elements, observedOf(without, fewer))), ["add-counters", "add-elements", "add-elements"]);
    assert.deepEqual(kinds(diffTable(without, fewer, observedOf(table, elements))), [
      "delete-elements",
      "delete-elements",
      "delete-counters",
    ]);
  });

  for (const [what, change] of [
    ["a comment of another nexus", (t) => ({ ...t, comment: "nexus other" })],
    ["a rule less", (t) => ({ ...t, chains: t.chains.map((c, i) => (i === 0 ? { ...c, rules: c.rules.slice(1) } : c)) })],
    [
      "a rule more",
      (t) => ({ ...t, chains: t.chains.map((c, i) => (i === 0 ? { ...c, rules: [...c.rules, { id: "", statements: [] }] } : c)) }),
    ],
    ["rules in another order", (t) => ({ ...t, chains: t.chains.map((c) => ({ ...c, rules: c.rules.toReversed() })) })],
    [
      "a rule that does something else",
      (t) => ({ ...t, chains: t.chains.map((c) => ({ ...c, rules: c.rules.map((r) => ({ ...r, id: `${r.id}x` })) })) }),
    ],
    ["a chain more", (t) => ({ ...t, chains: [...t.chains, { name: "extra", rules: [] }] })],
    ["a chain less", (t) => ({ ...t, chains: t.chains.slice(1) })],
    [
      "a chain with another policy",
      (t) => ({ ...t, chains: t.chains.map((c) => (c.base === undefined ? c : { ...c, base: { ...c.base, policy: "drop" as const } })) }),
    ],
    [
      "a chain at another priority",
      (t) => ({ ...t, chains: t.chains.map((c) => (c.base === undefined ? c : { ...c, base: { ...c.base, priority: 7 } })) }),
    ],
    ["a set more", (t) => ({ ...t, sets: [...t.sets, { name: "extra", key: ["ipv4_addr"], interval: false }] })],
    ["a set of another type", (t) => ({ ...t, sets: t.sets.map((s, i) => (i === 0 ? { ...s, interval: !s.interval } : s)) })],
  ] as [string, (t: Table) => Table][]) {
    test(`with ${what} is the whole table anew, in one batch`, () => {
      const observed = observedOf(change(table), elements);
      assert.equal(sameStructure(table, observed), false);
      const changes = diffTable(table, elements, observed);
      assert.deepEqual(changes.slice(0, 2), [
        { kind: "delete-table", family: "inet", name: "nexus" },
        { kind: "add-table", table },
      ]);
    });
  }
});

/** What a dump would show of a table made as told. */
function observedOf(made: Table, held: ReadonlyMap<string, readonly Element[]>): ObservedTable {
  return {
    family: made.family,
    name: made.name,
    comment: made.comment,
    persistent: false,
    owner: undefined,
    generation: 1,
    chains: made.chains.map((c) => ({
      name: c.name,
      base: c.base,
      rules: c.rules.map((r, i) => ({ handle: BigInt(i), id: r.id, expressions: [] })),
    })),
    sets: made.sets.map((s) => ({ name: s.name, definition: s })),
    elements: new Map([...held].map(([name, list]) => [name, [...list]])),
    counters: new Map(made.counters.map((name) => [name, { packets: 0n, bytes: 0n }])),
  };
}
