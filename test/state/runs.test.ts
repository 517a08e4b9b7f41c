import assert from "node:assert/strict";
import { test } from "node:test";
import { runSpec } from "../../src/spec/run.ts";
import type { RunRow } from "../../src/state/rows.ts";
import { openState, temporaryDirectory } from "./sample.ts";

const run = (id: string, createdAt: number, more: Partial<RunRow> = {}): RunRow => {
  const { env: _, ...spec } = runSpec.parse({ command: ["true"], net: { allow: ["a.example:443"] } });
  return {
    id,
    uid: 1000,
    spec: { ...spec, env: ["TOKEN"] },
    detached: false,
    createdAt,
    driver: undefined,
    limitedBy: undefined,
    root: undefined,
    state: "starting",
    reason: undefined,
    message: undefined,
    exit: undefined,
    output: { stdout: { bytes: 0, dropped: 0 }, stderr: { bytes: 0, dropped: 0 } },
    egress: undefined,
    startedAt: undefined,
    endedAt: undefined,
    swept: false,
    ...more,
  };
};
const ended = (at: number): Partial<RunRow> => ({
  driver: "host",
  limitedBy: "cgroups",
  root: "/srv/root",
  state: "failed",
  reason: "signal",
  message: "so",
  exit: { code: 137, signal: "SIGKILL", outOfMemory: false },
  output: { stdout: { bytes: 9, dropped: 1 }, stderr: { bytes: 2, dropped: 0 } },
  egress: { allowed: 1, denied: 2 },
  startedAt: at - 1,
  endedAt: at,
  swept: true,
});

test("runs are there again as they were written, the newest first, by as much of an id as one alone has", () => {
  using directory = temporaryDirectory();
  const rows = [run("aa11", 1, ended(5)), run("aa22", 2), run("bb33", 3, { state: "running", detached: true })];
  {
    using state = openState(directory.path);
    for (const row of rows) state.runs.insert(row);
  }
  using state = openState(directory.path);
  assert.deepEqual(state.runs.all(10), rows.toReversed());
  assert.deepEqual(state.runs.all(1), rows.slice(2));
  assert.deepEqual(
    [state.runs.find("aa11"), state.runs.find("b"), state.runs.find("aa"), state.runs.find("c")],
    [rows[0], rows[2], "several", undefined],
  );
  assert.deepEqual(
    state.runs.unfinished().map((row) => row.id),
    ["aa22", "bb33"],
  );
  const last = { ...rows[1], ...ended(7) } as RunRow;
  state.runs.setProgress("aa22", last);
  assert.deepEqual(state.runs.find("aa22"), last);
  assert.deepEqual(
    state.runs.unswept().map((row) => row.id),
    ["bb33"],
  );
  state.runs.delete("aa11");
  assert.equal(state.runs.find("aa11"), undefined);
  assert.throws(() => state.runs.setProgress("aa11", last), /no run with id aa11/);
});

test("old runs and those beyond a number may go; what runs, or has left something on the host, never", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  for (let i = 1; i <= 5; i++) state.runs.insert(run(`e${i}`, i, ended(i * 10)));
  state.runs.insert(run("f1", 0, { state: "running" }));
  state.runs.insert(run("f2", 0, { ...ended(1), swept: false }));
  assert.deepEqual(state.runs.beyond({ before: 20, count: 100 }).toSorted(), ["e1", "e2"]);
  assert.deepEqual(state.runs.beyond({ before: 0, count: 3 }).toSorted(), ["e1", "e2"]);
  assert.deepEqual(state.runs.beyond({ before: 30, count: 4 }).toSorted(), ["e1", "e2", "e3"]);
});
