import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { missingTraces, mountsNow, removeTraces } from "../../src/cli/quickstart/host-traces.ts";
import {
  mergeMade,
  nothingMade,
  type QuickstartRecord,
  readRecord,
  recordPath,
  removeRecord,
  writeRecord,
} from "../../src/cli/quickstart/record.ts";

let place = "";
const inside = (...names: string[]) => join(place, ...names);
const places = () => ({ stateDir: inside("state"), runDir: inside("run"), netnsDir: inside("netns") });
beforeEach(() => (place = mkdtempSync(join(tmpdir(), "quickstart-traces-"))));
afterEach(() => rmSync(place, { recursive: true, force: true }));

test("what a daemon would be the first to make is told from what is there", () => {
  const bare = missingTraces(places());
  assert.deepEqual({ ...bare, shared: [] }, { state: "directory", runDir: true, netnsDir: true, netnsMount: true, shared: [] });
  for (const directory of Object.values(places())) mkdirSync(directory);
  assert.deepEqual(
    { ...missingTraces(places()), shared: [] },
    { state: "content", runDir: false, netnsDir: false, netnsMount: true, shared: [] },
  );
  writeFileSync(inside("state", "nexus.db"), "");
  assert.equal(missingTraces(places()).state, "none");
});

test("only what was made is removed", async () => {
  for (const directory of Object.values(places())) mkdirSync(directory);
  writeFileSync(inside("state", "nexus.db"), "");
  assert.deepEqual(await removeTraces(nothingMade, places(), "/usr/bin:/bin"), []);
  assert.equal(existsSync(inside("state", "nexus.db")), true);

  await removeTraces({ ...nothingMade, state: "content" }, places(), "/usr/bin:/bin");
  assert.equal(existsSync(inside("state")), true);
  assert.equal(existsSync(inside("state", "nexus.db")), false);

  await removeTraces({ ...nothingMade, state: "directory", runDir: true, netnsDir: true }, places(), "/usr/bin:/bin");
  assert.deepEqual(
    Object.values(places()).filter((directory) => existsSync(directory)),
    [],
  );
});

test("a shared directory that others use meanwhile stays, and that is said", async () => {
  mkdirSync(inside("crun", "theirs"), { recursive: true });
  mkdirSync(inside("runc"));
  const lines = await removeTraces(
    { ...nothingMade, shared: [inside("crun"), inside("runc"), inside("never-made")] },
    places(),
    "/usr/bin:/bin",
  );
  assert.equal(existsSync(inside("crun", "theirs")), true);
  assert.deepEqual(lines, [`kept ${inside("crun")}: others use it (ENOTEMPTY)`, `removed ${inside("runc")}`]);
});

test("a mount's place, type and options are read, optional fields or not", () => {
  const text =
    "33 31 0:35 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n24 1 0:22 / /run rw shared:5 master:1 - tmpfs tmpfs rw,mode=755\n\n";
  assert.deepEqual(mountsNow(text), [
    { target: "/sys/fs/cgroup/memory", type: "cgroup", options: ["rw", "memory"] },
    { target: "/run", type: "tmpfs", options: ["rw", "mode=755"] },
  ]);
});

test("a record comes back as it was written, and a broken one is refused with its path", () => {
  const record: QuickstartRecord = {
    networks: ["front"],
    nodes: ["web"],
    vms: [],
    packages: [],
    daemon: { pid: 7, bootId: "b" },
    made: { ...nothingMade, state: "directory" },
  };
  assert.equal(readRecord(place), undefined);
  writeRecord(place, record);
  assert.deepEqual(readRecord(place), record);
  writeFileSync(recordPath(place), `{"networks": "front"}`);
  assert.throws(() => readRecord(place), { code: "state-corrupt", message: `${recordPath(place)} cannot be understood` });
  removeRecord(place);
  assert.equal(readRecord(place), undefined);
});

test("what two daemons made adds up, but a reboot takes what lived in memory with it", () => {
  const before = { ...nothingMade, state: "directory" as const, runDir: true, shared: ["/run/crun"] };
  const now = { ...nothingMade, netnsMount: true, shared: ["/run/runc"] };
  assert.deepEqual(mergeMade(before, now, true), {
    state: "directory",
    runDir: true,
    netnsDir: false,
    netnsMount: true,
    shared: ["/run/crun", "/run/runc"],
  });
  assert.deepEqual(mergeMade(before, now, false), { ...now, state: "directory" });
});
