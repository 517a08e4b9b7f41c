import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Firewall } from "../../src/kernel/firewall.ts";
import type { Family, FirewallChange, Table } from "../../src/wire/nftables/model.ts";
import { renderTable } from "../../src/wire/nftables/render.ts";
import { caseChains, caseCounters, caseSets, elementCases, ruleCases } from "../wire/nftables/cases.ts";
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
    const table: Table = { ...tableOfCases(family), chains: caseChains(family).map((one) => (one.name === chain ? { ...one, rules: [{ id: "r", statements }] } : one)) };
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
    const table: Table = { family: "inet", name: "t", comment: "", chains: [{ name: "aside", rules: [] }], counters: ["total"], sets: [set] };
    const changes: FirewallChange[] = [{ kind: "add-table", table }, { kind: "add-elements", family: "inet", table: "t", set: set.name, elements }];
    firewall.apply("load", changes);
    const ours = listing("inet", "t");
    assert.deepEqual(identities(firewall.dumpElements("inet", "t", set.name)), identities(elements.map((element) => canonical(element))), name);
    nft(["flush", "ruleset"]);
    load(`table inet t {\nchain aside { }\ncounter total { }\n${set.data === undefined ? "set" : "map"} ${set.name} {\n type ${set.key.join(" . ")}${dataText(set.data)};\n${set.interval ? "flags interval;\n" : ""}elements = { ${text} }\n}\n}`);
    assert.deepEqual(ours, listing("inet", "t"), name);
    nft(["flush", "ruleset"]);
  }
});

test("the example ruleset, loaded by us, lists as nft lists its own loading of the file and of our text", () => {
  using firewall = Firewall.open({ ownership: "none" });
  const adds = [...exampleElements].map(([set, elements]): FirewallChange => ({ kind: "add-elements", family: "inet", table: "nexus", set, elements }));
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

function tableOfCases(family: Family): Table {
  const chains = caseChains(family).map((chain) => ({
    ...chain,
    rules: ruleCases.filter((one) => one.family === family && one.chain === chain.name).map(({ name, statements }) => ({ id: name, statements })),
  }));
  return { family, name: "t", comment: "nexus test", chains, sets: [...caseSets], counters: [...caseCounters] };
}

type Listed = { nftables: Record<string, Record<string, unknown>>[] };

/** What nft prints, without handles, with the members of sets in one order. */
function listing(family: Family, table: string): unknown {
  const { nftables } = JSON.parse(nft(["-j", "list", "table", family, table])) as Listed;
  return sortDeep(nftables.slice(1));
}

function rulesOf(family: Family, chain: string): unknown {
  const { nftables } = JSON.parse(nft(["-j", "list", "chain", family, "t", chain])) as Listed;
  return sortDeep(nftables.filter((item) => "rule" in item));
}

function sortDeep(value: unknown, name?: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => sortDeep(item));
    return name === "set" || name === "elem" || name === "data" ? items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== "handle").map(([key, item]) => [key, sortDeep(item, key)]));
}

function withoutComments(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutComments);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== "comment").map(([key, item]) => [key, withoutComments(item)]));
}

function dataText(data: Table["sets"][number]["data"]): string {
  return data === undefined ? "" : ` : ${typeof data === "string" ? data : data.join(" . ")}`;
}

/** Protocols come back as numbers. */
function canonical(element: { key: unknown[] }): unknown {
  return { ...element, key: element.key.map((part) => (part === "tcp" ? 6 : part === "udp" ? 17 : part === "0.0.0.0/0" ? "0.0.0.0/0" : part)) };
}

function identities(elements: readonly unknown[] | undefined): string[] {
  return (elements ?? []).map((element) => JSON.stringify(sortDeep(element))).toSorted();
}

function load(text: string): void {
  execFileSync("nft", ["-f", "-"], { input: `${text}\n`, stdio: ["pipe", "pipe", "inherit"] });
}

function nft(words: string[]): string {
  return execFileSync("nft", words, { encoding: "utf8" });
}
