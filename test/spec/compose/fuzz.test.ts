import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SpecError } from "../../../src/base/errors.ts";
import { loadProject } from "../../../src/spec/compose/load.ts";
import { faults } from "./load-text.ts";

/** Ends with a project or with faults that all have a place; anything else is thrown on. */
function endsWell(text: string, more: { overrides?: { file: string; text: string }[]; other?: string } = {}): void {
  const read = (path: string): string | undefined => (path === "/p/demo/o" ? more.other : undefined);
  try {
    loadProject({ file: "c.yaml", directory: "/p/demo", env: { A: "1" }, read, text, overrides: more.overrides ?? [] });
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    for (const problem of error.problems) assert.match(problem.place ?? "", /^\S+:\d+:\d+$/);
  }
}

const keys = `
  vms nodes networks volumes name sandboxes x-a version web db default data image cpus cpu memory mem disk ports
  publish environment env env_file depends_on healthcheck test tcp extends service file provision inline type
  target source content user_data cloud_init ssh port queues subnet subnets gateway peers external labels aliases
  profiles profile command net allow facility timeout output_limit address mac condition << __proto__ constructor
`
  .trim()
  .split(/\s+/);
const value = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    1,
    -1,
    1.5,
    1e21,
    "",
    "web",
    "db",
    "data:/x",
    "./a:/b:ro",
    "/dev/sda",
    "8080:80",
    "1-2:3-4",
    "$A",
    "${A:-b}",
    "${B?x}",
    "$",
    "10.0.0.0/24",
    "10.0.0.1",
    "auto",
    "o",
    "healthy",
    "shell",
    "file",
    "A=b",
    "CMD",
    "2G",
    "5s",
  ),
  fc.string(),
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    value,
    fc.dictionary(fc.constantFrom(...keys), tie("tree"), { maxKeys: 4 }),
    fc.array(tie("tree"), { maxLength: 3 }),
  ),
}));
const file = fc.dictionary(
  fc.constantFrom("vms", "nodes", "sandboxes", "networks", "volumes", "name", "x-a"),
  fc.dictionary(fc.constantFrom("web", "db", "data", "default"), fc.dictionary(fc.constantFrom(...keys), tree)),
);

describe("any text", () => {
  it("of the right words ends as a project or as faults with places", { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(file, file, tree, (one, two, other) => {
        endsWell(JSON.stringify(one), { overrides: [{ file: "o.yaml", text: JSON.stringify(two) }], other: JSON.stringify(other) });
      }),
      { numRuns: 30 },
    );
  });

  it("of pieces of YAML ends so too", { timeout: 120_000 }, () => {
    const piece = fc.constantFrom(
      "vms",
      "web",
      ": ",
      "\n",
      "  ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a ",
      "*a",
      "<<: ",
      "!t ",
      '"',
      "'",
      "|",
      ">",
      "#",
      "---\n",
      "? ",
      "\t",
      "$",
      "${",
      "0x1",
      "~",
      "image",
      "\\",
      "\u2028",
      "nodes",
      "extends",
      "!reset ",
      "!override ",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(piece, { maxLength: 50 }).map((parts) => parts.join("")),
          fc.string(),
        ),
        (text) => endsWell(text),
      ),
      { numRuns: 200 },
    );
  });
});

describe("a text that would take for ever", () => {
  const quick = (name: string, text: () => string, told: RegExp): void => {
    it(name, { timeout: 60_000 }, () => {
      const began = performance.now();
      assert.match(faults(text()).join("\n"), told);
      assert.ok(performance.now() - began < 40_000, `${Math.round(performance.now() - began)} ms`);
    });
  };
  const letters = "abcdefghijklmnop".split("");
  const bomb = (line: (before: string) => string) =>
    letters.map((letter, i) => `x-${letter}: &${letter} ${i === 0 ? "{k: [1,2,3,4,5,6,7,8,9]}" : line(letters[i - 1] ?? "")}`).join("\n");

  quick("lists of aliases of lists", () => bomb((before) => `[${Array(9).fill(`*${before}`).join(", ")}]`), /aliases \(\*name\) too often/);
  quick(
    "mappings of aliases",
    () => bomb((before) => `{${Array.from({ length: 9 }, (_, i) => `k${i}: *${before}`).join(", ")}}`),
    /too often/,
  );
  quick(
    "merge keys of merge keys",
    () => bomb((before) => `{<<: [${Array(9).fill(`*${before}`).join(", ")}], z${before}: 1}`),
    /too often/,
  );
  quick("nesting", () => "[".repeat(20_000), /nested too deeply/);
  quick("nesting that is closed", () => `x-a: ${"[".repeat(400)}${"]".repeat(400)}`, /nested too deeply/);
  quick("more than a MiB", () => `name: ${"a".repeat(1 << 20)}`, /larger than 1 MiB/);
  quick("sixty thousand keys", () => Array.from({ length: 60_000 }, (_, i) => `k${i}: 1`).join("\n"), /too many values/);
  quick("sixty thousand aliases", () => `x-a: &a 1\nx-b: [${"*a,".repeat(60_000)}]`, /too often/);
  quick("dollar signs", () => `name: "${"${A:-".repeat(100_000)}"`, /too deeply/);
  quick("variables that are not set", () => `name: "${"$Q ".repeat(200_000)}"`, /is no name|characters/);
  quick(
    "guests in one long chain of dependencies",
    () => `nodes:\n${Array.from({ length: 2000 }, (_, i) => `  n${i}: {depends_on: [n${(i + 1) % 2000}]}`).join("\n")}`,
    /round in a circle/,
  );
  quick(
    "a thousand overlapping networks",
    () => `networks:\n${Array.from({ length: 1000 }, (_, i) => `  n${i}: {subnet: 10.0.0.0/8}`).join("\n")}`,
    /overlaps/,
  );
  quick(
    "ports, all the same",
    () =>
      `nodes:\n${Array.from({ length: 10 }, (_, i) => `  n${i}: {ports: [${Array(1000).fill("1-60000:1-60000").join(", ")}]}`).join("\n")}`,
    /already/,
  );
  quick(
    "a chain of extends",
    () => `nodes:\n${Array.from({ length: 1000 }, (_, i) => `  n${i}: {extends: n${i + 1}}`).join("\n")}`,
    /without end/,
  );
  quick("too many guests", () => `vms: {${Array.from({ length: 2000 }, (_, i) => `v${i}: {}`).join(", ")}}`, /at most 1024/);
});
