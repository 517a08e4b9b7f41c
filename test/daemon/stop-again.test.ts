import assert from "node:assert/strict";
import { test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import type { Name } from "../../src/base/names.ts";
import type { GuestPlan } from "../../src/guests/driver.ts";
import type { Container, LivesOptions, RunningNode } from "../../src/daemon/kinds.ts";
import { KeyedLock } from "../../src/daemon/keyed-lock.ts";
import { Lives } from "../../src/daemon/lives.ts";

// As much of the daemon as stopping a node asks for.
function nodeWhoseStopFailsOnce() {
  let record: Record<string, unknown> = {
    kind: "container",
    id: "web-1",
    name: "web",
    spec: { restart: "no" },
    desired: "running",
    state: "running",
  };
  let stops = 0;
  const status = () => (stops < 2 ? { kind: "running", pid: 42, startedAt: new Date(0).toISOString(), limits: {} } : { kind: "absent" });
  const options = {
    noun: "node",
    furnish: () => {},
    isOurs: () => true,
    guests: {
      lock: new KeyedLock(),
      all: () => [record],
      find: () => record,
      update: (_: unknown, change: object) => (record = { ...record, ...change }),
      goLive: () => {},
      detach: () => {},
    },
    driver: {
      observe: async () => status(),
      waitExit: (_: unknown, signal: AbortSignal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
      stop: async () => {
        if (++stops === 1) throw new NexusError("timeout", "its processes did not end");
      },
    },
    chronicle: { tell: () => {} },
    log: { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} },
    planOf: (guest: unknown) => guest,
    runtimeOf: () => "crun",
  } as unknown as LivesOptions<Container, GuestPlan, RunningNode>;
  return { nodes: new Lives(options), stops: () => stops };
}

test("a node whose stop failed still counts as running, and can be stopped again", async () => {
  const { nodes, stops } = nodeWhoseStopFailsOnce();
  await using _ = nodes;
  const name = "web" as Name;
  await nodes.adopt();
  await assert.rejects(nodes.stop(name, 0), /did not end/);
  assert.equal(nodes.running(name)?.pid, 42);
  assert.equal((await nodes.stop(name, 0)).state, "stopped");
  assert.equal(stops(), 2);
});
