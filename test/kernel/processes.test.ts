import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { parseMountinfo } from "../../src/kernel/mounts.ts";
import { namespaceId } from "../../src/kernel/namespaces.ts";
import {
  adoptProcess,
  cgroupsOf,
  endProcess,
  namespacedPids,
  netnsOf,
  parseCgroups,
  parseProcessStat,
  Pidfd,
  readProcessStat,
  waitForExit,
} from "../../src/kernel/processes.ts";

describe("a process held by pidfd", () => {
  test("is found again by pid and start time, and by nothing less", () => {
    const own = readProcessStat(process.pid);
    assert.ok(own);
    assert.equal(own.parent, process.ppid);
    using again = adoptProcess(process.pid, own.startTicks);
    assert.equal(again?.pid, process.pid);
    assert.equal(adoptProcess(process.pid, own.startTicks + 1n), undefined);
    assert.equal(readProcessStat(0x3fffff), undefined);
    assert.equal(Pidfd.open(0x3fffff), undefined);
  });

  test("is not there once it has ended, though a group still bears its number", () => {
    // The shell leads a group of its own, and ends at once.
    const script = "sleep 1000 >/dev/null 2>&1 & echo $$ $!";
    const [leader, member] = execFileSync("setsid", ["sh", "-c", script], { encoding: "utf8" }).split(" ").map(Number);
    assert.ok(leader !== undefined && member !== undefined);
    try {
      assert.equal(readProcessStat(member)?.state === "Z", false);
      assert.equal(Pidfd.open(leader), undefined);
    } finally {
      process.kill(member, "SIGKILL");
    }
  });

  test("is seen to end though it is no child of ours", { timeout: 10_000 }, async () => {
    // The shell ends at once, so its background child is nobody's we know.
    const pid = Number(execFileSync("sh", ["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"], { encoding: "utf8" }));
    using held = Pidfd.open(pid);
    assert.ok(held);
    assert.equal(held.hasExited(), false);
    const both = Promise.all([held.exited(), held.exited()]);
    assert.equal(held.signal(15), true);
    await both;
    assert.equal(held.hasExited(), true);
    await held.exited();
  });

  test("is asked to end, then made to", { timeout: 10_000 }, async () => {
    const polite = await child("echo ready; exec sleep 1000");
    using first = held(polite);
    assert.equal(await endProcess(first, { graceMs: 5000 }), "ended");
    const stubborn = await child("trap '' TERM; echo ready; exec sleep 1000");
    using second = held(stubborn);
    assert.equal(await endProcess(second, { graceMs: 50 }), "killed");
    await gone(stubborn);
    assert.equal(await endProcess(second, { graceMs: 50 }), "ended");
    assert.equal(second.signal(0), false);
  });

  test("is waited for with a deadline and an abort signal", { timeout: 10_000 }, async () => {
    const waiting = await child("echo ready; exec sleep 1000");
    using one = held(waiting);
    await assert.rejects(waitForExit(one, { timeoutMs: 20 }), (error: unknown) => error instanceof NexusError && error.code === "timeout");
    const stop = new AbortController();
    const aborted = waitForExit(one, { timeoutMs: 5000, signal: stop.signal });
    stop.abort(new RangeError("enough"));
    await assert.rejects(aborted, RangeError);
    await assert.rejects(one.exited({ signal: stop.signal }), RangeError);
    one.signal(9);
    await waitForExit(one, { timeoutMs: 5000 });
  });

  test("rejects who still waits when it is let go, and leaves no descriptor", { timeout: 10_000 }, async () => {
    const waiting = await child("echo ready; exec sleep 1000");
    const before = readdirSync("/proc/self/fd").length;
    const one = held(waiting);
    const exited = one.exited();
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await assert.rejects(exited, NexusError);
    assert.equal(readdirSync("/proc/self/fd").length, before);
    waiting.kill("SIGKILL");
    await gone(waiting);
  });
});

describe("what /proc tells of a process", () => {
  test("is its namespaces and cgroups", async () => {
    assert.deepEqual(netnsOf(process.pid), namespaceId("/proc/self/ns/net"));
    assert.equal(netnsOf(0x3fffff), undefined);
    assert.ok((cgroupsOf(process.pid) ?? []).length > 0);
    assert.equal(cgroupsOf(0x3fffff), undefined);
    const inside = spawn("unshare", ["-p", "-f", "sh", "-c", "echo ready; exec sleep 1000"], { stdio: ["ignore", "pipe", "inherit"] });
    await once(inside.stdout, "data");
    const pid = Number(execFileSync("pgrep", ["-P", String(inside.pid)], { encoding: "utf8" }));
    assert.deepEqual(namespacedPids(pid)?.slice(-2), [pid, 1]);
    process.kill(pid, "SIGKILL");
    await gone(inside);
    assert.equal(namespacedPids(pid), undefined);
  });

  test("is read right when the command holds parentheses and spaces", () => {
    const stat = parseProcessStat("42 (a) b (c)) S 1 42 42 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 12345 0\n");
    assert.deepEqual(stat, { pid: 42, command: "a) b (c)", state: "S", parent: 1, flags: 64, startTicks: 12345n });
    assert.deepEqual(parseCgroups("0::/\n7:cpu,cpuacct:/a:b\n"), [
      { hierarchy: 0, controllers: [], path: "/" },
      { hierarchy: 7, controllers: ["cpu", "cpuacct"], path: "/a:b" },
    ]);
  });

  test("gives a value or a WireError for any text", () => {
    const words = fc
      .array(fc.constantFrom("42", "(sh)", "S", "-", "/", "rw", "8:1", "tmpfs", "\\040", "shared:1", ":", "\n", ")", ""), { maxLength: 30 })
      .map((w) => w.join(" "));
    fc.assert(
      fc.property(fc.oneof(words, fc.string({ maxLength: 60 })), (text) => {
        for (const parse of [parseProcessStat, parseCgroups, parseMountinfo]) {
          try {
            parse(text);
          } catch (error) {
            assert.ok(error instanceof WireError, String(error));
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function held(process: ChildProcess): Pidfd {
  const pidfd = Pidfd.open(process.pid ?? 0);
  assert.ok(pidfd);
  return pidfd;
}

/** A shell that has said it is ready, so that its traps are set. */
async function child(script: string): Promise<ChildProcess> {
  const process = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
  await once(process.stdout, "data");
  return process;
}

async function gone(process: ChildProcess): Promise<void> {
  if (process.exitCode === null && process.signalCode === null) await once(process, "exit");
}
