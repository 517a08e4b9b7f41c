import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { ExecSession } from "../../src/guests/driver.ts";
import type { Chronicle } from "../../src/daemon/chronicle.ts";
import { Health } from "../../src/daemon/health.ts";
import { nodeSpec } from "../../src/spec/node.ts";
import type { GuestRecord } from "../../src/state/rows.ts";
import { until } from "../kernel/world/until.ts";

test(
  "a command that failed is told although what it left behind holds its outputs, and those are let go",
  { timeout: 20_000 },
  async () => {
    const health = { probe: { kind: "exec" as const, command: ["check"] }, intervalMs: 100, retries: 2 };
    const spec = nodeSpec.parse({ name: "web", health });
    const guest = { kind: "container", name: spec.name, spec } as GuestRecord;
    const given: PassThrough[] = [];
    const exec = (): Promise<ExecSession> => {
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      stderr.write("no good\n");
      given.push(stdout, stderr);
      return Promise.resolve({ stdin, stdout, stderr, resize() {}, kill() {}, exitCode: Promise.resolve(3) });
    };
    using watch = new Health({ chronicle: { tell() {} } as unknown as Chronicle, exec, isBeingSetUp: () => false });
    watch.guestChanged(guest, true);
    await until("it is unhealthy", () => watch.of(spec.name)?.state === "unhealthy", 15_000);
    assert.equal(watch.of(spec.name)?.said, "status 3: no good");
    const [first] = given;
    if (first?.closed === false) await once(first, "close");
    assert.ok(given.slice(0, 4).every((output) => output.destroyed));
  },
);

test(
  "while a guest sets itself up it is starting, however often its check fails; afterwards failures count",
  { timeout: 20_000 },
  async () => {
    const health = { probe: { kind: "exec" as const, command: ["check"] }, intervalMs: 100, retries: 2 };
    const spec = nodeSpec.parse({ name: "web", health });
    let checks = 0;
    const exec = (): Promise<ExecSession> => {
      checks++;
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough().end(), new PassThrough().end()];
      return Promise.resolve({ stdin, stdout, stderr, resize() {}, kill() {}, exitCode: Promise.resolve(1) });
    };
    let settingUp = true;
    const told: string[] = [];
    const chronicle = { tell: ({ kind }: { kind: string }) => told.push(kind) } as unknown as Chronicle;
    using watch = new Health({ chronicle, exec, isBeingSetUp: () => settingUp });
    watch.guestChanged({ kind: "container", name: spec.name, spec } as GuestRecord, true);
    await until("it was looked at for long", () => checks > 6, 15_000);
    assert.deepEqual([watch.of(spec.name)?.state, watch.of(spec.name)?.failures, told], ["starting", 0, []]);
    settingUp = false;
    await until("it is unhealthy", () => told.includes("node.unhealthy"), 15_000);
  },
);
