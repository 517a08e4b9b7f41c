import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeDaemon, fakeDaemon, fakeSession } from "../api/fake-daemon.ts";
import { nexus } from "./command-line.ts";
import { remarksOn, runFacts } from "../../src/cli/run-text.ts";
import { runSpec } from "../../src/spec/run.ts";
import type { RunView } from "../../src/spec/run-view.ts";

const view: RunView = {
  id: "0123456789ab",
  state: "succeeded",
  reason: "ok",
  code: 0,
  uid: 1000,
  detached: false,
  createdAt: "2026-01-01T00:00:00.000Z",
  output: { stdout: { bytes: 0, dropped: 0 }, stderr: { bytes: 0, dropped: 0 } },
  spec: { ...runSpec.parse({ command: ["true"] }), env: [] },
};

test("a run's facts tell how many connections were judged, and how many the audit had no room for", () => {
  const connections = (egress: NonNullable<RunView["egress"]>) => /^connections:? +(.*)$/m.exec(runFacts({ ...view, egress }))?.[1];
  assert.equal(connections({ allowed: 3, denied: 2 }), "3 allowed, 2 refused");
  assert.equal(
    connections({ allowed: 300_000, denied: 2, unwritten: 1000 }),
    "300000 allowed, 2 refused; 1000 of them not written down: the audit was full",
  );
});

test("limits that hold for each process by itself are told of, others are not", () => {
  const held = /^--mem and --pids held for each process by itself, --cpus not at all: no cgroup is delegated/;
  assert.match(remarksOn({ ...view, limitedBy: "rlimits" }).join("\n"), held);
  assert.deepEqual(remarksOn({ ...view, limitedBy: "cgroups" }), []);
  assert.deepEqual(remarksOn(view), []);
});

test("whoever ends the daemon is told which runs that cancels, before it does", async () => {
  const listed = [{ ...view, id: "aaa", state: "running" as const }, { ...view, id: "bbb", state: "starting" as const }, view];
  const shutdown = async (daemon: FakeDaemon) => {
    setImmediate(() => void daemon.server.close(0));
    return { status: "ok" as const };
  };
  for (const json of [[], ["--json"]]) {
    await using daemon = await fakeDaemon({ shutdown: () => shutdown(daemon), "run.list": async () => listed });
    const { code, stdout, stderr } = await nexus(daemon.socketPath, ["daemon", "stop", ...json]);
    assert.equal(code, 0);
    if (json.length === 0) assert.equal(stderr, "nexus: 2 runs are under way and cancelled now: aaa, bbb\n");
    else assert.deepEqual(JSON.parse(stdout), { running: false, cancelled: ["aaa", "bbb"] });
  }
});

test("a run whose time was up is said to be, by whichever command it was started", async () => {
  const ended: RunView = { ...view, state: "timed-out", reason: "timeout", code: 124 };
  await using daemon = await fakeDaemon({ "run.exec": async () => ({ ...fakeSession(async () => 124), status: () => ended }) });
  for (const words of ["run", "mcp run_sandboxed"]) {
    const { code, stderr } = await nexus(daemon.socketPath, [...words.split(" "), "--", "sleep", "1000"]);
    assert.deepEqual([code, stderr], [124, "nexus: timed out after 5m and was ended (--timeout gives it longer)\n"]);
  }
});
