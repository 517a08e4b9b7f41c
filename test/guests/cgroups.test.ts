import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { readLimits, setLimits, sharesOfWeight, weightOfShares } from "../../src/kernel/cgroup-limits.ts";
import {
  controllerDirectory,
  findCgroups,
  killCgroup,
  listCgroups,
  memoryEvents,
  moveProcesses,
  removeCgroup,
} from "../../src/kernel/cgroups.ts";
import { parseMountinfo } from "../../src/kernel/mounts.ts";

const systemdHost = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
const oldHost = `33 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 25 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd`;

test("the mount table tells v1, v2 and both at once apart", () => {
  assert.equal(findCgroups(parseMountinfo(systemdHost)).mode, "v2");
  assert.equal(findCgroups(parseMountinfo(oldHost)).mode, "v1");
  assert.equal(findCgroups(parseMountinfo(`${oldHost}\n36 25 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`)).mode, "hybrid");
  assert.throws(
    () => findCgroups(parseMountinfo("22 1 0:5 / / rw - ext4 /dev/vda rw")),
    (error) => error instanceof NexusError && error.code === "unsupported",
  );
});

test("controllers that share a v1 tree are found in it", () => {
  const host = findCgroups(parseMountinfo(oldHost));
  assert.deepEqual(controllerDirectory(host, "cpu", "/nexus/a"), { version: 1, directory: "/sys/fs/cgroup/cpu,cpuacct/nexus/a" });
  assert.equal(controllerDirectory(host, "pids", "/nexus/a"), undefined);
});

test("shares and weights agree at both ends and at the default, and never turn round", () => {
  assert.deepEqual([2, 1024, 262144].map(weightOfShares), [1, 100, 10000]);
  for (let weight = 1; weight <= 10000; weight += 37) assert.equal(weightOfShares(sharesOfWeight(weight)) >= weight, true);
  for (let shares = 2, last = 0; shares < 262144; shares = Math.ceil(shares * 1.1)) {
    assert.ok(weightOfShares(shares) >= last);
    last = weightOfShares(shares);
  }
});

test("on v2 controllers are switched on down the tree, and limits are read back in our units", (t) => {
  const { host, root } = fakeV2(t);
  const group = join(root, "nexus/c1");
  // A plain directory does not make the kernel's files by itself, and keeps what is written as it is.
  mkdirSync(group, { recursive: true });
  for (const [name, text] of [
    ["memory.max", "max\n"],
    ["memory.swap.max", "max\n"],
    ["cpu.max", "max 100000\n"],
    ["cpu.weight", "100\n"],
    ["pids.max", "max\n"],
  ])
    writeFileSync(join(group, name ?? ""), text ?? "");
  for (const directory of [root, join(root, "nexus")]) writeFileSync(join(directory, "cgroup.subtree_control"), "");
  assert.deepEqual(readLimits(host, "/nexus/c1"), { cpuShares: 1024 });
  for (const name of ["memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"]) writeFileSync(join(group, name), "");
  assert.deepEqual(setLimits(host, "/nexus/c1", { memoryBytes: 67108864, cpuShares: 512, cpus: 1.5, pids: 40 }), {
    memoryBytes: 67108864,
    cpuShares: 512,
    cpus: 1.5,
    pids: 40,
  });
  const text = (name: string): string => readFileSync(join(group, name), "utf8");
  assert.deepEqual(
    [text("memory.max"), text("memory.swap.max"), text("cpu.max"), text("cpu.weight"), text("pids.max")],
    ["67108864", "0", "150000 100000", "59", "40"],
  );
  assert.equal(readFileSync(join(root, "cgroup.subtree_control"), "utf8"), "+memory +cpu +pids");
  assert.equal(readFileSync(join(root, "nexus/cgroup.subtree_control"), "utf8"), "+memory +cpu +pids");
  assert.deepEqual(listCgroups(host, "/nexus"), ["c1"]);
});

test("a limit whose controller the host lacks is refused by name", (t) => {
  const { host } = fakeV2(t, "cpu pids");
  assert.throws(
    () => setLimits(host, "/nexus/c1", { memoryBytes: 1 << 20 }),
    (error) => error instanceof NexusError && error.code === "limit-refused" && /memory/.test(error.message),
  );
});

test("on v2 kills for want of memory are counted with those of groups already gone", (t) => {
  const { host, root } = fakeV2(t);
  mkdirSync(join(root, "nexus/c1"), { recursive: true });
  writeFileSync(join(root, "nexus/c1/memory.events"), "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n");
  assert.deepEqual(memoryEvents(host, "/nexus/c1"), { limitReached: true, oomKills: 1 });
});

test("all that is in a group is moved to another at once", async () => {
  const host = findCgroups();
  assert.ok(host.unified !== undefined, "no cgroup2 is mounted here");
  const group = `/nexus-test-move-${process.pid}`;
  mkdirSync(join(host.unified, group, "leaf"), { recursive: true });
  const children = Array.from({ length: 3 }, () => spawn("sleep", ["600"]));
  try {
    for (const { pid } of children) writeFileSync(join(host.unified, group, "cgroup.procs"), String(pid));
    moveProcesses(host, { from: group, to: `${group}/leaf` });
    const left = (path: string) =>
      readFileSync(join(host.unified ?? "", path, "cgroup.procs"), "utf8")
        .split("\n")
        .filter(Boolean);
    assert.deepEqual(left(group), []);
    assert.deepEqual(new Set(left(`${group}/leaf`)), new Set(children.map(({ pid }) => String(pid))));
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await killCgroup(host, group);
    removeCgroup(host, group);
  }
});

function fakeV2(t: TestContext, controllers = "cpuset cpu io memory pids") {
  const root = mkdtempSync(join(tmpdir(), "nexus-cgroup-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  writeFileSync(join(root, "cgroup.controllers"), `${controllers}\n`);
  writeFileSync(join(root, "cgroup.subtree_control"), "");
  mkdirSync(join(root, "nexus"), { recursive: true });
  writeFileSync(join(root, "nexus/cgroup.subtree_control"), "");
  return { root, host: findCgroups(parseMountinfo(`35 24 0:30 / ${root} rw - cgroup2 cgroup2 rw`)) };
}
