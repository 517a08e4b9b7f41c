import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { elementListAttributes, ruleAttributes, setAttributes } from "../../../src/wire/nftables/attributes.ts";
import { compileRule } from "../../../src/wire/nftables/compile.ts";
import { decodeElements, type ElementAttributes } from "../../../src/wire/nftables/elements.ts";
import { addElements } from "../../../src/wire/nftables/element-messages.ts";
import { Batch } from "../../../src/wire/nftables/batch.ts";
import { encodeBody, messageType } from "../../../src/wire/nftables/message.ts";
import { decodeSet, encodeSet } from "../../../src/wire/nftables/set-definition.ts";
import { attributeTable } from "../../../src/wire/netlink/attributes.ts";
import { bytes, string } from "../../../src/wire/netlink/codecs.ts";
import { list, nested } from "../../../src/wire/netlink/nesting.ts";
import { readMessages } from "../../../src/wire/netlink/message.ts";
import { ruleCases } from "./cases.ts";
import { elementCases } from "./element-cases.ts";

type Captured = { text: string; messages: { type: number; body: string }[] };
const golden = JSON.parse(readFileSync(new URL("../../golden/nftables.json", import.meta.url), "utf8")) as {
  rules: Record<string, Captured>;
  sets: Record<string, Captured>;
};

for (const { name, family, chain, text, statements } of ruleCases) {
  test(`rule ${name}: the instructions are those nft sends`, () => {
    const captured = golden.rules[name];
    assert.equal(captured?.text, text, "capture anew: unshare -n node test/golden/capture-nftables.ts");
    let setId = 0;
    const { expressions, sets } = compileRule({ id: "r", statements }, { family, nextSetId: () => ++setId });
    const ours = encodeBody(ruleAttributes, family, { table: "t", chain, expressions });
    const theirs = bodies(captured, messageType.newRule);
    assert.equal(theirs.length, 1);
    assert.deepEqual(instructions(hex(ours)), instructions(theirs[0] ?? ""));

    const theirSets = bodies(captured, messageType.newSet);
    assert.equal(sets.length, theirSets.length);
    for (const [i, { definition, elements }] of sets.entries()) {
      const made = setAttributes.decode(Buffer.from(theirSets[i] ?? "", "hex"), "set", 4);
      const mine = setAttributes.decode(encodeBody(setAttributes, family, encodeSet("t", definition)), "set", 4);
      // nft numbers sets otherwise, notes the expression of a set's key in user data, and counts the end mark it puts at 0.
      assert.deepEqual(
        { ...mine, id: 0, userData: undefined, description: undefined },
        { ...made, id: 0, userData: undefined, description: undefined },
      );
      const read = decodeSet(made);
      assert.ok(read !== undefined);
      const theirElements: string = bodies(captured, messageType.newElements)[i] ?? "";
      const entries: ElementAttributes[] = elementListAttributes.decode(Buffer.from(theirElements, "hex"), "elements", 4).elements ?? [];
      const firstEnd = definition.interval && entries[0]?.flags === 1 ? entries.slice(1) : entries;
      assert.deepEqual(sorted(decodeElements(read, firstEnd)), sorted(decodeElements(read, entriesOf({ family, elements, definition }))));
    }
  });
}

for (const { name, set, elements, text } of elementCases) {
  test(`set ${name}: definition and elements are what nft sends`, () => {
    const captured = golden.sets[name];
    assert.equal(captured?.text, text, "capture anew: unshare -n node test/golden/capture-nftables.ts");
    const [theirs] = bodies(captured, messageType.newSet);
    const made = setAttributes.decode(Buffer.from(theirs ?? "", "hex"), "set", 4);
    const mine = setAttributes.decode(encodeBody(setAttributes, "inet", encodeSet("t", { ...set, id: 1 })), "set", 4);
    assert.deepEqual({ ...mine, userData: undefined }, { ...made, userData: undefined });
    const [theirElements] = bodies(captured, messageType.newElements);
    assert.equal(elementBody({ family: "inet", elements, definition: { ...set, id: 1 } }), theirElements);
  });
}

const wrapper = attributeTable({
  name: { number: 1, codec: string, meaning: "name" },
  data: { number: 2, codec: bytes, meaning: "attributes" },
});
const rawRule = attributeTable({ expressions: { number: 4, codec: list(nested(wrapper)), meaning: "instructions, not decoded" } });

/** Each instruction as its bytes; as its value where nft numbers sets otherwise, or says an operation that is the kernel's default. */
function instructions(body: string): unknown[] {
  const given = Buffer.from(body, "hex");
  const values = ruleAttributes.decode(given, "rule", 4).expressions ?? [];
  const raw = rawRule.decode(given, "rule", 4).expressions ?? [];
  return values.map((value, i) => {
    if (value.kind === "lookup" || value.kind === "objref-map") return { ...value, setId: undefined };
    return value.kind === "bitwise" ? value : { name: raw[i]?.name, data: hex(raw[i]?.data ?? new Uint8Array()) };
  });
}

function bodies(captured: Captured | undefined, type: number): string[] {
  return captured?.messages.filter((message) => message.type === type).map(({ body }) => body) ?? [];
}

type Addition = {
  family: "inet" | "ip" | "ip6" | "bridge" | "arp" | "netdev";
  elements: Parameters<typeof addElements>[1]["elements"];
  definition: Parameters<typeof addElements>[2];
};

function elementBody({ family, elements, definition }: Addition): string {
  let sequence = 0;
  const batch = new Batch(() => ++sequence);
  addElements(batch, { family, table: "t", elements }, definition);
  const message = readMessages(batch.finish()).find(({ type }) => type === messageType.newElements);
  return hex(message?.body ?? new Uint8Array());
}

function entriesOf(given: Addition): ElementAttributes[] {
  return elementListAttributes.decode(Buffer.from(elementBody(given), "hex"), "elements", 4).elements ?? [];
}

function sorted<T>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
