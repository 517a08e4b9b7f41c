import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NexusError, SpecError } from "../../../src/base/errors.ts";
import { parseYaml } from "../../../src/spec/yaml.ts";
import { networkSpec } from "../../../src/spec/network.ts";
import { faults, load, node } from "./load-text.ts";

/** The faults of a text, and that no more came of it in memory than a small multiple of the bounds. */
function bounded(text: string, given: Parameters<typeof faults>[1] = {}): string[] {
  const before = process.memoryUsage();
  const told = faults(text, given);
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.external - before.heapUsed - before.external;
  assert.ok(grown < 1.5e9, `${Math.round(grown / 1e6)} MB`);
  return told;
}

const long = "x".repeat(100_000);
describe("a project that would fill the memory", { timeout: 120_000 }, () => {
  it("by variables within one text is refused where they go too far", () => {
    const text = `nodes:\n  web: {image: "${"${A}".repeat(5000)}"}`;
    assert.deepEqual(bounded(text, { env: { A: long } }), ["c.yaml:2:57: here variables have put more than 1 MiB into one text"]);
    const untaken = `nodes:\n  web: {image: "\${A:-${"$A".repeat(50_000)}}"}`;
    assert.match(bounded(untaken, { env: { A: long } })[0] ?? "", /^c\.yaml:2:\d+: here variables have put more than 1 MiB/);
    const nested = `nodes: {web: {image: "${"${A:-$A".repeat(16)}${"}".repeat(16)}"}}`;
    assert.match(bounded(nested, { env: { A: long } })[0] ?? "", /1 MiB into one text/);
    assert.equal(bounded("nodes: {web: {image: '${NO?$A}'}}", { env: { A: long } })[0]?.length, 541);
  });

  it("by variables in many texts is refused once", () => {
    const text = `nodes:\n  web:\n    command:\n${"      - $A\n".repeat(1000)}`;
    const told = bounded(text, { env: { A: long } });
    assert.equal(told.length, 1, told.join("\n"));
    assert.match(told[0] ?? "", /^c\.yaml:675:9: here the project comes to more than 64 MiB of text/);
  });

  it("by variables of .env that double each other is refused there", () => {
    const letters = "abcdefghijklmnopqrstuvwxyz".split("");
    const env = letters.map((letter, i) => `${letter}=${i === 0 ? "x".repeat(1000) : `$${letters[i - 1]}`.repeat(3)}`).join("\n");
    assert.deepEqual(bounded("", { files: { "/p/demo/.env": env } }), [
      ".env:8:1: h: here variables have put more than 1 MiB into one text",
    ]);
    const lines = Array.from({ length: 800 }, (_, i) => `v${i}=$A`).join("\n");
    assert.match(bounded("", { files: { "/p/demo/.env": lines }, env: { A: long } })[0] ?? "", /^\.env:672:1: here the project comes to/);
  });

  it("by aliases of one long text is refused", () => {
    const text = `x-a: &a ${"x".repeat(900_000)}\nnodes: {web: {command: [${"*a,".repeat(80)}]}}`;
    assert.deepEqual(bounded(text), [
      "c.yaml:1:1: here the project comes to more than 64 MiB of text (aliases, variables, extends and files that are named often all add to it)",
    ]);
  });

  it("by guests that extend a large one is refused at one of them", () => {
    const variables = Array.from({ length: 2000 }, (_, i) => `V${i}: x`).join(", ");
    const text = `nodes:\n  base: {environment: {${variables}}}\n${Array.from({ length: 1000 }, (_, i) => `  n${i}: {extends: base}`).join("\n")}`;
    const told = bounded(text);
    assert.equal(told.length, 1, told.join("\n"));
    assert.match(told[0] ?? "", /^c\.yaml:\d+:\d+: here the project comes to more than 500000 values/);
    const chain = Array.from({ length: 1000 }, (_, i) => `  n${i}: {extends: n${i % 31 === 30 ? 1000 : i + 1}}`).join("\n");
    const told2 = bounded(`nodes:\n${chain}\n  n1000: {environment: {${variables}}}`);
    assert.match(told2.join("\n"), /more than 500000 values/);
  });

  it("by files that many guests name is refused at one of them", () => {
    const files = { "/p/demo/e": `A='${"x".repeat(120_000)}'\n`, "/p/demo/s": "x".repeat(5e5) };
    const nodes = `nodes:\n${Array.from({ length: 800 }, (_, i) => `  n${i}: {env_file: e}`).join("\n")}`;
    assert.match(bounded(nodes, { files }).join("\n"), /^c\.yaml:\d+:\d+: here the project[^\n]*|^e:\d+:\d+: here the project[^\n]*/);
    const vms = `vms:\n${Array.from({ length: 200 }, (_, i) => `  v${i}: {provision: [{script: s}]}`).join("\n")}`;
    const told = bounded(vms, { files });
    assert.deepEqual([told.length, told[0]?.slice(0, 40)], [1, "c.yaml:136:31: here the project comes to"], told.join("\n"));
  });

  it("by a file of nothing but tokens is refused before it is parsed", () => {
    for (const token of ["a,", "[],", "%,", "!t a,", "'',"]) {
      const text = `x: [${token.repeat(1_000_000 / token.length)}]`;
      assert.deepEqual(bounded(text), ["c.yaml:1:1: has too many values"], token);
      assert.throws(() => parseYaml(networkSpec, text, "f"), { message: "f:1:1: has too many values" });
    }
    assert.throws(
      () => parseYaml(networkSpec, "#".repeat(1 << 21), "f"),
      (error) => error instanceof NexusError && !(error instanceof SpecError) && error.code === "too-large",
    );
  });
});

it("a large project that people may write passes", () => {
  const variables = Array.from({ length: 50 }, (_, i) => `V${i}: $A`).join(", ");
  const text = `nodes:\n  base: {environment: {${variables}}}\n${Array.from({ length: 1000 }, (_, i) => `  n${i}: {extends: base}`).join("\n")}`;
  assert.equal(node(load(text, { env: { A: "x".repeat(100) } }), "n999").spec.env["V49"]?.length, 100);
  const script = `vms: {v: {provision: [{inline: ${JSON.stringify("a, b: [c]\n".repeat(50_000))}}]}}`;
  assert.deepEqual(faults(script), []);
});
