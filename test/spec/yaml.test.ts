import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { z } from "zod";
import { NexusError, SpecError, type SpecProblem } from "../../src/base/errors.ts";
import { parseBody } from "../../src/spec/body.ts";
import { networkSpec } from "../../src/spec/network.ts";
import { nodeSpec } from "../../src/spec/node.ts";
import { parseYaml } from "../../src/spec/yaml.ts";

test("every problem of a file is told at once, in the order of the file, each with line and column", () => {
  const text = [
    "name: Bad",
    "subnets: [5, 10.0.0.1/8, {prefix: 10.0.0.0/8, gatewai: 10.0.0.1}]",
    "mtu: big",
    "peers: x",
    "isolation: guest",
    "NAT: true",
    "",
  ].join("\n");
  assert.deepEqual(lines(networkSpec, text), [
    'f.yaml:1:7 name: "Bad" is no name; use lower-case letters, digits and "-", not at the ends',
    'f.yaml:2:11 subnets[0]: must be "auto" or a mapping or a string, not 5',
    'f.yaml:2:14 subnets[1]: "10.0.0.1/8" has bits set below its mask; did you mean 10.0.0.0/8?',
    "f.yaml:2:47 subnets[2].gatewai: unknown key (did you mean gateway?)",
    'f.yaml:3:6 mtu: must be "auto" or a number, not "big"',
    'f.yaml:4:8 peers: must be a list, not "x"',
    'f.yaml:5:12 isolation: must be "none" or "guests", not "guest" (did you mean guests?)',
    "f.yaml:6:1 NAT: unknown key (did you mean nat?)",
  ]);
});

test("what is missing is told at the mapping it is missing from, a wrong key at the key", () => {
  assert.deepEqual(lines(nodeSpec, "\nname: a\nnetworks:\n  - address: 10.0.0.1\nenv:\n  GOOD: x\n  1bad: y\n"), [
    "f.yaml:4:5 networks[0].network: is missing; it must be a string",
    "f.yaml:7:3 env.1bad: a variable name has letters, digits and _, and does not start with a digit",
  ]);
  assert.deepEqual(lines(nodeSpec, ""), ["f.yaml:1:1 name: is missing; it must be a string"]);
  assert.deepEqual(lines(nodeSpec, "- a"), ["f.yaml:1:1 must be a mapping, not a list"]);
});

test("a doubled key, an unknown tag and a key that is no text are refused with the rest", () => {
  assert.deepEqual(lines(networkSpec, "name: a\nnat: true\nnat: maybe\n"), [
    "f.yaml:3:1 this key stands here a second time",
    'f.yaml:3:6 nat: must be true or false, not "maybe"',
  ]);
  assert.deepEqual(lines(networkSpec, "name: !secret a\n").map(head), ["f.yaml:1:7 Unresolved tag: !secret"]);
  assert.deepEqual(lines(networkSpec, "name: a\n? [b]\n: c\n"), ["f.yaml:2:3 a key must be plain text"]);
});

test("faults of the syntax have their place", () => {
  assert.deepEqual(lines(networkSpec, "name: x\n\tnat: true\n"), ["f.yaml:2:1 a tab cannot indent YAML (use spaces)"]);
  assert.deepEqual(lines(networkSpec, "name: x\n---\nname: y\n"), [
    "f.yaml:2:1 a second document starts here (one file holds one document)",
  ]);
  assert.match(lines(networkSpec, "name: [x\n")[0] ?? "", /^f\.yaml:\d+:\d+ /);
});

test("anchors and aliases work, and a fault behind an alias is told where it stands", () => {
  assert.deepEqual(parseYaml(nodeSpec, "name: a\ncommand: &words [a, b]\n", "f").command, ["a", "b"]);
  assert.deepEqual(
    lines(nodeSpec, "name: a\nnetworks:\n - &n {network: X}\n - *n\n").map((line) => line.slice(0, 32)),
    ["f.yaml:3:17 networks[0].network:", "f.yaml:3:17 networks[1].network:"],
  );
});

test("aliases that multiply, nesting without end and huge files are refused, fast", { timeout: 20_000 }, () => {
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ..."bcdefgh".split("").map((letter, i) => `${letter}: &${letter} [${Array(9).fill(`*${"abcdefgh"[i]}`).join(",")}]`),
  ].join("\n");
  assert.match(lines(nodeSpec, bomb).join(), /aliases/);
  assert.deepEqual(lines(nodeSpec, "[".repeat(50_000)), ["f.yaml:1:1 is nested too deeply"]);
  assert.throws(
    () => parseYaml(nodeSpec, `name: ${"a".repeat(1 << 20)}`, "f"),
    (error) => error instanceof NexusError && error.code === "too-large",
  );
});

test("any text gives a value or a SpecError with a place in every problem", () => {
  const piece = fc.constantFrom(
    "name",
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
    "!t ",
    '"',
    "'",
    "a",
    "10.0.0.0/8",
    "|",
    ">",
    "#",
    "---\n",
    "? ",
    "\t",
    "mtu",
    "subnets",
    "0x1",
    "null",
    "~",
    "<<",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece, { maxLength: 40 }).map((parts) => parts.join("")),
        fc.string(),
      ),
      (text) => {
        for (const problem of problems(networkSpec, text)) assert.match(problem.place ?? "", /^f\.yaml:\d+:\d+$/);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a request's body has the same problems, by path alone", () => {
  assert.deepEqual(
    bodyProblems({
      name: "a",
      memory: 5,
      publish: [{ hostPort: 70000, guestPort: 1 }],
      networks: [{ network: "b", address: "fd00::1", address6: "10.0.0.1" }],
    }),
    [
      { path: "networks[0].address", problem: '"fd00::1" is not an IPv4 address' },
      { path: "networks[0].address6", problem: '"10.0.0.1" is not an IPv6 address' },
      { path: "publish[0].hostPort", problem: "must be at most 65535" },
      {
        path: "memory",
        problem: "unknown key",
        hint: "known here: name, image, command, env, mem, cpu, cpus, pids, networks, publish, restart, hostname, dns, volumes, tmpfs, aliases, health, labels",
      },
    ],
  );
  assert.deepEqual(bodyProblems(undefined), [{ path: "", problem: "is missing; it must be a mapping" }]);
  assert.deepEqual(bodyProblems({ name: "a", hostname: null }), [{ path: "hostname", problem: "must be a string, not nothing" }]);
});

test("a key that JavaScript objects have by themselves is an unknown key like any other", () => {
  for (const key of ["__proto__", "constructor", "toString"]) {
    assert.deepEqual(
      problems(nodeSpec, `name: a\n${key}: {x: 1}\n`).map((p) => p.path),
      [key],
    );
    assert.deepEqual(
      bodyProblems(JSON.parse(`{"name":"a","${key}":1}`)).map((p) => p.path),
      [key],
    );
  }
});

function bodyProblems(value: unknown): readonly SpecProblem[] {
  return problemsOf(() => parseBody(nodeSpec, value));
}

function problems(schema: z.ZodType, text: string): readonly SpecProblem[] {
  return problemsOf(() => parseYaml(schema, text, "f.yaml"));
}

function problemsOf(work: () => unknown): readonly SpecProblem[] {
  try {
    work();
    return [];
  } catch (error) {
    assert.ok(error instanceof SpecError, String(error));
    assert.ok(error.problems.length > 0);
    return error.problems;
  }
}

function lines(schema: z.ZodType, text: string): string[] {
  return problems(schema, text).map(
    (p) => `${p.place} ${p.path === "" ? "" : `${p.path}: `}${p.problem}${p.hint === undefined ? "" : ` (${p.hint})`}`,
  );
}

function head(text: string): string {
  return text.split("\n")[0] ?? "";
}
