import assert from "node:assert/strict";
import { test } from "node:test";
import { executeAll, executeEach } from "../../src/apply/execute.ts";
import type { IfName } from "../../src/base/names.ts";
import { undoOf, type Step } from "../../src/plan/steps.ts";

const step = (name: string): Step => ({ kind: "create-namespace", name });
const textOf = (s: Step) => `${s.kind} ${"name" in s ? s.name : ""}`;

test("steps are done in order; when one fails those before are undone in reverse and the failure is thrown as it was", () => {
  const done: string[] = [];
  const failure = new Error("no room");
  const perform = (s: Step) => {
    if (textOf(s) === "create-namespace c") throw failure;
    done.push(textOf(s));
  };
  assert.throws(
    () => executeAll(["a", "b", "c", "d"].map(step), perform),
    (error) => error === failure,
  );
  assert.deepEqual(done, ["create-namespace a", "create-namespace b", "remove-namespace b", "remove-namespace a"]);
});

test("undoing goes as far as it can, and every failure is told with the first", () => {
  const undone: string[] = [];
  const perform = (s: Step) => {
    if (s.kind === "create-namespace" && s.name !== "c") return;
    if (textOf(s) === "remove-namespace a") return void undone.push("a");
    throw new Error(`refused: ${textOf(s)}`);
  };
  assert.throws(
    () => executeAll(["a", "b", "c"].map(step), perform),
    (error) =>
      error instanceof AggregateError &&
      /^refused: create-namespace c; and undoing it failed in part$/.test(error.message) &&
      error.errors.map((e: Error) => e.message).join() === "refused: create-namespace c,refused: remove-namespace b",
  );
  assert.deepEqual(undone, ["a"]);
});

test("repairs are independent: a failure holds up none, and each is told with its step", () => {
  const done: string[] = [];
  const steps = ["a", "b", "c"].map(step);
  const failed = executeEach(steps, (s) => {
    if (textOf(s).endsWith("b")) throw new Error("refused");
    done.push(textOf(s));
  });
  assert.deepEqual(done, ["create-namespace a", "create-namespace c"]);
  assert.deepEqual(
    failed.map((f) => f.step),
    [steps[1]],
  );
});

test("undoing what was changed asks for what was there before", () => {
  const name = "nx-lan" as IfName;
  assert.deepEqual(undoOf({ kind: "change-link", name, change: { mtuBytes: 1400 }, was: { mtuBytes: 1500 } }), [
    { kind: "change-link", name, change: { mtuBytes: 1500 }, was: { mtuBytes: 1400 } },
  ]);
  assert.deepEqual(undoOf({ kind: "set-sysctl", path: ["net", "x"], value: "1", was: "0" }), [
    { kind: "set-sysctl", path: ["net", "x"], value: "0", was: "1" },
  ]);
  assert.deepEqual(
    undoOf({ kind: "set-sysctl", path: ["net", "x"], value: "1", was: undefined }),
    [],
    "what was never read is not written back",
  );
  const changes = [{ kind: "delete-table", family: "inet", name: "t" } as const];
  assert.deepEqual(undoOf({ kind: "firewall", op: "x", changes: [], undo: changes }), [
    { kind: "firewall", op: "undo x", changes, undo: [] },
  ]);
  assert.deepEqual(undoOf({ kind: "firewall", op: "x", changes, undo: [] }), []);
});
