import assert from "node:assert/strict";
import { test } from "node:test";
import { SpecError } from "../../src/base/errors.ts";
import { parseBody } from "../../src/spec/body.ts";
import { netModeOf, runSpec } from "../../src/spec/run.ts";

test("a run that asks for nothing has every limit, and no way out", () => {
  const run = parseBody(runSpec, { command: ["true"] });
  assert.deepEqual(run, {
    command: ["true"],
    profile: "untrusted",
    net: { allow: [] },
    env: {},
    timeoutMs: 300_000,
    graceMs: 3000,
    mem: 512,
    cpus: 1,
    pids: 256,
    disk: 2 ** 30,
    outputLimit: 2 ** 21,
    labels: {},
  });
  assert.equal(netModeOf(run), "none");
  assert.equal(netModeOf(parseBody(runSpec, { command: ["true"], net: { allow: ["a.example:443"] } })), "allowlist");
  assert.equal(netModeOf(parseBody(runSpec, { command: ["true"], profile: "host" })), "host");
});

test("everything that is wrong is said at once, by its place", () => {
  const wrong = {
    command: [""],
    profile: "untrused",
    env: { "A-B": "c", OK: "a\0b" },
    timeoutMs: 0,
    mem: 1,
    pids: 0,
    disk: "1X",
    outputLimit: "17T",
    cmd: "x",
  };
  const problems = problemsOf(wrong);
  for (const expected of [
    /^profile: must be .* not "untrused" \(did you mean untrusted\?\)$/,
    /^env\["?A-B|^env.*a variable name has letters/,
    /^env\.OK: a word cannot hold a zero byte/,
    /^timeoutMs: must be 1ms to 7d$/,
    /^mem: must be 4 MiB to 16 TiB$/,
    /^pids: must be 1 to 4194304 processes$/,
    /^disk: must be a size above zero: bytes, or a whole number with K, M, G or T/,
    /^outputLimit: must be at most 16T$/,
    /^cmd: unknown key/,
  ])
    assert.ok(
      problems.some((line) => expected.test(line)),
      `${expected} in\n${problems.join("\n")}`,
    );
});

test("what contradicts itself is refused", () => {
  const cases: [object, RegExp][] = [
    [{ net: { mode: "none", allow: ["a.example:443"] } }, /net\.allow: has no effect with mode none/],
    [{ profile: "host", net: { allow: ["a.example:443"] } }, /profile host has no network of its own/],
    [{ profile: "host", net: { mode: "none" } }, /cannot be kept from it/],
    [{ net: { mode: "host" } }, /untrusted never has the host's network/],
    [{ image: "mini" }, /^image: profile untrusted runs on no image: profile trusted does, and untrusted has a rootfs$/],
    [{ profile: "host", image: "mini" }, /^image: profile host runs on no image/],
    [
      { profile: "trusted", rootfs: "host" },
      /^rootfs: profile trusted has none to choose: profile untrusted has, and trusted has an image$/,
    ],
    [{ profile: "host", rootfs: "/srv" }, /^rootfs: profile host has none to choose/],
    [{ driver: "qemu", rootfs: "host" }, /^rootfs: a virtual machine brings one of its own/],
    [{ rootfs: "srv" }, /^rootfs: must be host, auto/],
    [{ command: [] }, /command: must have at least 1 entry/],
    [{ command: [""] }, /command: has an empty word/],
    [{ facility: "Not A Name" }, /facility: /],
    [
      {
        env: {
          A: "x".repeat(100_000),
          B: "x".repeat(100_000),
          C: "x".repeat(100_000),
          D: "x".repeat(100_000),
          E: "x".repeat(100_000),
          F: "x".repeat(100_000),
        },
      },
      /env: the command and its environment have \d+ bytes/,
    ],
  ];
  for (const [more, problem] of cases) assert.match(problemsOf({ command: ["true"], ...more }).join("\n"), problem);
});

function problemsOf(value: unknown): string[] {
  try {
    parseBody(runSpec, value);
  } catch (error) {
    if (error instanceof SpecError) return error.message.split("\n");
    throw error;
  }
  return assert.fail("it was taken");
}
