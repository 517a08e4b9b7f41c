import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Firewall } from "../../src/kernel/firewall.ts";
import { ElementBytes } from "../../src/wire/nftables/element-bytes.ts";
import type { Element, Family, FirewallChange, Statement, Table } from "../../src/wire/nftables/model.ts";
import { renderChange, renderTable } from "../../src/wire/nftables/render.ts";
import { caseChains, caseCounters, caseSets, ruleCases } from "../wire/nftables/cases.ts";
import { elementCases } from "../wire/nftables/element-cases.ts";
import { exampleElements, exampleTable } from "../wire/nftables/example-table.ts";

const families: readonly Family[] = ["inet", "ip", "ip6", "bridge", "arp"];

for (const family of families) {
  test(`every statement of family ${family} lists the same, whether we load it or nft loads its text`, () => {
    const table = tableOfCases(family);
    using firewall = Firewall.open({ ownership: "none" });
    firewall.apply("load", [{ kind: "add-table", table }]);
    const ours = listing(family, table.name);
    nft(["flush", "ruleset"]);
    load(renderTable(table).join("\n"));
    assert.deepEqual(ours, listing(family, table.name));
    nft(["flush", "ruleset"]);
  });
}

test("every statement lists as the words it was written from", () => {
  for (const { name, family, chain, text, statements } of ruleCases) {
    using firewall = Firewall.open({ ownership: "none" });
    const table: Table = {
      ...tableOfCases(family),
      chains: caseChains(family).map((one) => (one.name === chain ? { ...one, rules: [{ id: "r", statements }] } : one)),
    };
    firewall.apply("load", [{ kind: "add-table", table }]);
    const ours = rulesOf(family, chain);
    nft(["flush", "chain", family, "t", chain]);
    load(`add rule ${family} t ${chain} ${text} comment "r"`);
    assert.deepEqual(ours, rulesOf(family, chain), name);
    nft(["flush", "ruleset"]);
  }
});

test("the elements of every kind of set list the same, whether we add them or nft does", () => {
  for (const { name, set, elements, text } of elementCases) {
    using firewall = Firewall.open({ ownership: "none" });
    const table: Table = {
      family: "inet",
      name: "t",
      comment: "",
      chains: [{ name: "aside", rules: [] }],
      counters: ["total"],
      sets: [set],
    };
    const changes: FirewallChange[] = [
      { kind: "add-table", table },
      { kind: "add-elements", family: "inet", table: "t", set: set.name, elements },
    ];
    firewall.apply("load", changes);
    const ours = listing("inet", "t");
    const bytes = new ElementBytes(set);
    const content = (list: readonly Element[] = []) => list.map((element) => `${bytes.identity(element)} ${bytes.content(element)}`);
    assert.deepEqual(content(firewall.dumpElements("inet", "t", set.name)), content(elements), name);
    nft(["flush", "ruleset"]);
    load(
      `table inet t {\nchain aside { }\ncounter total { }\n${set.data === undefined ? "set" : "map"} ${set.name} {\n type ${set.key.join(" . ")}${dataText(set.data)};\n${set.interval ? "flags interval;\n" : ""}${set.timeout === undefined ? "" : "flags timeout;\n"}elements = { ${text} }\n}\n}`,
    );
    assert.deepEqual(ours, listing("inet", "t"), name);
    nft(["flush", "ruleset"]);
  }
});

test("the example ruleset, loaded by us, lists as nft lists its own loading of the file and of our text", () => {
  using firewall = Firewall.open({ ownership: "none" });
  const adds = [...exampleElements].map(([set, elements]): FirewallChange => ({
    kind: "add-elements",
    family: "inet",
    table: "nexus",
    set,
    elements,
  }));
  firewall.apply("load", [{ kind: "add-table", table: exampleTable }, ...adds]);
  const ours = listing("inet", "nexus");
  nft(["flush", "ruleset"]);
  load(readFileSync(new URL("../golden/ruleset-example.nft", import.meta.url), "utf8"));
  assert.deepEqual(withoutComments(ours), listing("inet", "nexus"));
  nft(["flush", "ruleset"]);
  load(renderTable(exampleTable, exampleElements).join("\n"));
  assert.deepEqual(ours, listing("inet", "nexus"));
  nft(["flush", "ruleset"]);
});

test("every kind of change has text that does the same to a table", () => {
  const place = { family: "inet", table: "nexus" } as const;
  const changes: FirewallChange[] = [
    { kind: "add-table", table: { ...exampleTable, comment: "nexus one" } },
    ...[...exampleElements].map(([set, elements]): FirewallChange => ({ kind: "add-elements", ...place, set, elements })),
    { kind: "delete-elements", ...place, set: "cnt", elements: exampleElements.get("cnt") ?? [] },
    { kind: "delete-elements", ...place, set: "nat4", elements: [{ key: ["10.62.0.0/24"] }] },
    { kind: "delete-elements", ...place, set: "pub4r", elements: exampleElements.get("pub4r") ?? [] },
    { kind: "delete-counters", ...place, names: ["cA"] },
    { kind: "add-counters", ...place, names: ["cB", "cC"] },
    { kind: "add-elements", ...place, set: "cnt", elements: [{ key: ["nxB"], data: { counter: "cB" }, comment: "b" }] },
    {
      kind: "add-chain",
      ...place,
      chain: { name: "late", rules: [{ id: "late", statements: [{ kind: "count" }, { kind: "verdict", verdict: { kind: "drop" } }] }] },
    },
    { kind: "add-chain", ...place, chain: { name: "later", rules: [] } },
    { kind: "delete-chain", ...place, name: "late" },
  ];
  using firewall = Firewall.open({ ownership: "none" });
  firewall.apply("all together", changes);
  const ours = listing("inet", "nexus");
  firewall.apply("remove", [{ kind: "delete-table", family: "inet", name: "nexus" }]);
  load(changes.flatMap(renderChange).join("\n"));
  assert.deepEqual(ours, listing("inet", "nexus"));
  load(renderChange({ kind: "delete-table", family: "inet", name: "nexus" }).join("\n"));
  assert.equal(firewall.dumpTable("inet", "nexus"), undefined);
});

test("neighbour discovery in a concatenation, for which nft text has no types, loads with its guards", () => {
  using firewall = Firewall.open({ ownership: "none" });
  const table = tableOfCases("bridge");
  const statements: Statement[] = [
    { kind: "match", field: "icmpv6 type", op: "==", value: "nd-neighbor-advert" },
    { kind: "in", fields: ["iifname", "nd target link-layer", "nd target"], op: "!=", set: "hosts6" },
    { kind: "verdict", verdict: { kind: "drop" } },
  ];
  firewall.apply("load", [{ kind: "add-table", table: { ...table, chains: [{ name: "plain", rules: [{ id: "nd", statements }] }] } }]);
  assert.match(
    nft(["list", "chain", "bridge", "t", "plain"]),
    /icmpv6 type nd-neighbor-advert @th,192,16 0x201 iifname \. @th,208,48 \. @th,64,128 != @hosts6 drop/,
  );
  nft(["flush", "ruleset"]);
});

function tableOfCases(family: Family): Table {
  const chains = caseChains(family).map((chain) => ({
    ...chain,
    rules: ruleCases
      .filter((one) => one.family === family && one.chain === chain.name)
      .map(({ name, statements }) => ({ id: name, statements })),
  }));
  return { family, name: "t", comment: "nexus test", chains, sets: [...caseSets], counters: [...caseCounters] };
}

type Listed = { nftables: Record<string, Record<string, unknown>>[] };

/** What nft prints, without handles, with the members of sets in one order. */
function listing(family: Family, table: string): unknown {
  const { nftables } = JSON.parse(nft(["-j", "list", "table", family, table])) as Listed;
  return withoutAge(sortDeep(nftables.slice(1)));
}

/** What is left of a life depends on when one looks. */
function withoutAge(listed: unknown): unknown {
  return JSON.parse(JSON.stringify(listed), (key, value: unknown) => (key === "expires" ? undefined : value));
}

function rulesOf(family: Family, chain: string): unknown {
  const { nftables } = JSON.parse(nft(["-j", "list", "chain", family, "t", chain])) as Listed;
  return sortDeep(nftables.filter((item) => "rule" in item));
}

function sortDeep(value: unknown, name?: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => sortDeep(item));
    return name === "set" || name === "elem" || name === "data"
      ? items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      : items;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "handle")
      .map(([key, item]) => [key, sortDeep(item, key)]),
  );
}

function withoutComments(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutComments);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "comment")
      .map(([key, item]) => [key, withoutComments(item)]),
  );
}

function dataText(data: Table["sets"][number]["data"]): string {
  return data === undefined ? "" : ` : ${typeof data === "string" ? data : data.join(" . ")}`;
}

function load(text: string): void {
  execFileSync("nft", ["-f", "-"], { input: `${text}\n`, stdio: ["pipe", "pipe", "inherit"] });
}

function nft(words: string[]): string {
  return execFileSync("nft", words, { encoding: "utf8" });
}
