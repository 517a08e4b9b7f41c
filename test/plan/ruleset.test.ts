import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { addElements, deleteElements, elementDelta } from "../../src/plan/firewall/delta.ts";
import { attachmentElements, networkElements, publishElements, type SetElement } from "../../src/plan/firewall/elements.ts";
import { ruleset, setKey } from "../../src/plan/firewall/ruleset.ts";
import type { Element, Statement } from "../../src/wire/nftables/model.ts";
import { attachment, desired, network, publish, sample } from "./sample.ts";

describe("the ruleset", () => {
  test("has as many rules for a hundred networks as for one", () => {
    const many = Array.from({ length: 100 }, (_, i) =>
      network(i + 1, `net${i}`, { subnets: [`10.${i}.0.0/24`], peers: i === 0 ? [] : [`net${i - 1}`] }),
    );
    const rules = (count: number) => ruleset(desired({ networks: many.slice(0, count) })).tables.map((t) => t.chains.map((c) => c.rules));
    assert.deepEqual(rules(100), rules(1));
  });

  test("is nothing at all without networks", () => {
    assert.deepEqual(ruleset(desired({})), { tables: [], elements: new Map() });
  });

  test("has a table of its own for machines in user mode, with or without networks", () => {
    const names = (userMode: boolean, from = sample()) => ruleset({ ...from, userMode }).tables.map((t) => t.name);
    assert.deepEqual(names(true, desired({})), ["nexus_user_mode"]);
    assert.deepEqual(names(true), ["nexus", "nexus", "nexus_user_mode"]);
    assert.deepEqual(names(false), ["nexus", "nexus"]);
  });

  test("never drops by policy, and names every rule so that a change of it is seen", () => {
    const { tables } = ruleset({ ...sample(), userMode: true });
    for (const table of tables)
      for (const chain of table.chains) {
        assert.notEqual(chain.base?.policy, "drop");
        assert.equal(new Set(chain.rules.map((r) => r.id)).size, chain.rules.length, chain.name);
        for (const rule of chain.rules) assert.match(rule.id, /^[a-z0-9-]+ [0-9a-f]{8}$/);
      }
  });

  test("names only sets, counters and chains that are there, and uses every set", () => {
    const { tables, elements } = ruleset({ ...sample(), userMode: true });
    for (const table of tables) {
      const statements = table.chains.flatMap((c) => c.rules.flatMap((r) => r.statements));
      const used = new Set(statements.flatMap(setsOf));
      assert.deepEqual([...used].toSorted(), table.sets.map((s) => s.name).toSorted(), table.family);
      const chains = new Set(table.chains.map((c) => c.name));
      for (const s of statements) if (s.kind === "verdict" && s.verdict.kind === "jump") assert.ok(chains.has(s.verdict.chain));
    }
    for (const [key, list] of elements)
      for (const e of list)
        if (key.includes(" count_") && e.data !== undefined && "counter" in e.data) assert.ok(tables[0]?.counters.includes(e.data.counter));
  });

  test("gives every key once in each set", () => {
    for (const [key, list] of ruleset(sample()).elements)
      assert.equal(new Set(list.map((e) => JSON.stringify(e.key))).size, list.length, key);
  });
});

describe("the elements of", () => {
  const lan = network(1, "lan", { subnets: ["10.7.0.0/24", "fd00:7::/64"] });
  const web = attachment("web", lan);
  const texts = (items: SetElement[]) =>
    items.map(
      (i) => `${setKey(i)} ${JSON.stringify(i.element.key)}${i.element.data === undefined ? "" : ` ${JSON.stringify(i.element.data)}`}`,
    );
  const sets = (items: SetElement[], ...names: string[]) =>
    items.filter((i) => names.includes(i.set)).map((i) => `${i.set} ${JSON.stringify(i.element.key)}`);

  test("a publish: a port is one, in each family the guest has", () => {
    assert.deepEqual(texts(publishElements(publish(web, { from: 8080, guest: 80 }))), [
      'inet nexus publish4 [6,8080] {"values":["10.7.0.10",80]}',
      'inet nexus publish6 [6,8080] {"values":["fd00:7::a",80]}',
    ]);
  });

  test("a publish: on one address, in its family alone", () => {
    assert.deepEqual(texts(publishElements(publish(web, { from: 53, guest: 53, protocol: "udp", host: "198.51.100.1" }))), [
      'inet nexus publish_at4 ["198.51.100.1",17,53] {"values":["10.7.0.10",53]}',
    ]);
  });

  test("a publish: a range is one, a shifted one as many as ports", () => {
    assert.equal(publishElements(publish(web, { from: 1000, to: 60000, guest: 1000, host: "127.0.0.1" })).length, 1);
    assert.deepEqual(
      publishElements(publish(web, { from: 9100, to: 9102, guest: 80, host: "127.0.0.1" })).map((e) => e.element.data),
      [80, 81, 82].map((port) => ({ values: ["10.7.0.10", port] })),
    );
  });

  test("a publish: none on ::1, from which nothing can be translated", () => {
    assert.deepEqual(publishElements(publish(web, { from: 8080, guest: 80, host: "::1" })), []);
  });

  test("a network: translated, guarded and kept apart as it says", () => {
    const of = (more: Parameters<typeof network>[2]) => {
      const n = network(2, "x", more);
      return sets(networkElements(n, [n]), "nat4", "guarded4", "hairpin4", "internal", "apart", "peers");
    };
    const [range, pair] = ['{"from":"10.8.0.0","to":"10.8.0.255"}', '["nx-x","nx-x"]'];
    const subnets = ["10.8.0.0/24"];
    assert.deepEqual(of({ subnets }), [`nat4 [${range}]`, `guarded4 [${range}]`, `hairpin4 [${range},${range}]`, `peers ${pair}`]);
    assert.deepEqual(of({ subnets, nat: false }), [`hairpin4 [${range},${range}]`, `peers ${pair}`]);
    assert.deepEqual(of({ subnets, internal: true }), [`guarded4 [${range}]`, `peers ${pair}`, 'internal ["nx-x"]']);
    assert.deepEqual(of({ subnets, isolation: "guests" }), [
      `nat4 [${range}]`,
      `guarded4 [${range}]`,
      `hairpin4 [${range},${range}]`,
      `apart ${pair}`,
    ]);
  });

  test("peers hold in both directions, whichever of the two asks", () => {
    const a = network(1, "a", { subnets: ["10.1.0.0/24"] });
    const b = network(2, "b", { subnets: ["10.2.0.0/24"], peers: ["a"] });
    assert.deepEqual(sets(networkElements(a, [a, b]), "peers", "gateway4"), [
      'gateway4 ["nx-a","10.1.0.1"]',
      'gateway4 ["nx-a","10.2.0.1"]',
      'peers ["nx-a","nx-b"]',
      'peers ["nx-a","nx-a"]',
    ]);
    assert.deepEqual(sets(networkElements(b, [a, b]), "peers"), ['peers ["nx-b","nx-a"]', 'peers ["nx-b","nx-b"]']);
  });

  test("an attachment: its MAC, its addresses, and with IPv6 the link-local one", () => {
    assert.deepEqual(
      attachmentElements(web).map((e) => e.set),
      ["mac", "source4", "source6", "source6"],
    );
    assert.deepEqual(
      attachmentElements({ ...web, addresses: web.addresses.slice(0, 1) }).map((e) => e.set),
      ["mac", "source4"],
    );
  });
});

describe("a delta of elements", () => {
  test("leads from one list to the other, whatever they are, and back", () => {
    const item = fc.record({ set: fc.constantFrom("publish4", "publish_range4", "peers"), port: fc.nat(5), data: fc.nat(2) });
    const list = fc.uniqueArray(item, { selector: (i) => `${i.set} ${i.port}`, maxLength: 8 }).map((items) =>
      items.map(({ set, port, data }): SetElement => ({
        family: "inet",
        table: "nexus",
        set,
        element: { key: [6, port], data: { values: [`10.0.0.${data}`] } },
      })),
    );
    fc.assert(
      fc.property(list, list, (before, after) => {
        const state = stateOf(before);
        apply(state, elementDelta(before, after));
        assert.deepEqual(state, stateOf(after));
        apply(state, elementDelta(after, before));
        assert.deepEqual(state, stateOf(before));
        assert.deepEqual(elementDelta(before, before), []);
        apply(state, deleteElements(before));
        assert.equal(state.size, 0);
        apply(state, addElements(after));
        assert.deepEqual(state, stateOf(after));
      }),
    );
  });
});

function setsOf(statement: Statement): string[] {
  return "set" in statement ? [statement.set] : "map" in statement ? [statement.map] : [];
}

function stateOf(items: readonly SetElement[]): Map<string, Element> {
  return new Map(
    items.map((i) => [`${i.set} ${JSON.stringify(i.element.key)}`, i.element] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** As the kernel does it: what is there cannot be added, what is not cannot be deleted. */
function apply(state: Map<string, Element>, changes: ReturnType<typeof elementDelta>): void {
  for (const change of changes) {
    if (change.kind !== "add-elements" && change.kind !== "delete-elements") assert.fail(change.kind);
    for (const element of change.elements) {
      const key: string = `${change.set} ${JSON.stringify(element.key)}`;
      assert.equal(state.has(key), change.kind === "delete-elements", key);
      if (change.kind === "add-elements") state.set(key, element);
      else state.delete(key);
    }
  }
  const sorted = [...state].toSorted(([a], [b]) => (a < b ? -1 : 1));
  state.clear();
  for (const [key, element] of sorted) state.set(key, element);
}
