import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { NexusError } from "../../src/base/errors.ts";
import { installPackages } from "../../src/cli/quickstart/install.ts";
import { isStatic, lookForPackages } from "../../src/cli/quickstart/packages.ts";
import { runProgram } from "../../src/cli/quickstart/programs.ts";

const path = "/usr/bin:/bin";
let place = "";
beforeEach(() => (place = mkdtempSync(join(tmpdir(), "quickstart-packages-"))));
afterEach(() => rmSync(place, { recursive: true, force: true }));

test("what is not on the path is missing, whatever packages are installed", () => {
  const { missing } = lookForPackages(place);
  assert.deepEqual(
    missing.map((need) => need.package).filter((name) => name !== "busybox-static"),
    ["crun", "bubblewrap", ...(process.arch === "x64" ? ["qemu-system-x86", "qemu-utils"] : []), "iproute2", "iputils-ping"],
  );
});

test("either OCI runtime will do", () => {
  program("runc", "exit 0");
  assert.equal(
    lookForPackages(place).missing.some((need) => need.package === "crun"),
    false,
  );
});

test("a program with a loader, a script and a cut file are not static", () => {
  assert.equal(isStatic(process.execPath), false);
  assert.equal(isStatic(program("script", "exit 0")), false);
  writeFileSync(join(place, "cut"), readFileSync(process.execPath).subarray(0, 40));
  assert.equal(isStatic(join(place, "cut")), false);
});

test("with package lists at hand it installs at once, unattended and without recommendations", async () => {
  const { calls, lines } = await install({ lists: true, script: `echo "$DEBIAN_FRONTEND"` });
  assert.deepEqual(calls, ["install -y --no-install-recommends crun"]);
  assert.ok(lines.includes("noninteractive"), "what apt says is shown as it comes");
});

test("without package lists it fetches them first", async () => {
  const { calls } = await install({ lists: false, script: "exit 0" });
  assert.deepEqual(calls, ["update", "install -y --no-install-recommends crun"]);
});

test("lists that are out of date are fetched again before it gives up", async () => {
  const { calls } = await install({ lists: true, script: `[ $(grep -c . ${place}/calls) -ge 2 ] || exit 100` });
  assert.deepEqual(calls, ["install -y --no-install-recommends crun", "update", "install -y --no-install-recommends crun"]);
});

test("when nothing helps, the error says why in a line, and carries the last words of apt", async () => {
  await assert.rejects(install({ lists: true, script: `echo "E: no network for $1" >&2; exit 100` }), (error: NexusError) => {
    assert.equal(error.message, "apt-get cannot install crun: no network for install");
    assert.equal(error.details?.["said"], "E: no network for install\nE: no network for update");
    return true;
  });
});

test("an interruption ends apt", async () => {
  const controller = new AbortController();
  const work = install({
    lists: true,
    script: "echo started; exec sleep 60",
    signal: controller.signal,
    onLine: (line) => line === "started" && controller.abort(),
  });
  await assert.rejects(work, { name: "AbortError" });
});

test("a program that is not there and one that does not end are answers too", async () => {
  assert.equal((await runProgram(["no-such-program"], { path: place })).code, 127);
  program("sleeper", "exec /bin/sleep 60");
  assert.equal((await runProgram(["sleeper"], { path: place, timeoutMs: 50 })).code, 124);
});

type Case = { lists: boolean; script: string; signal?: AbortSignal; onLine?: (line: string) => unknown };

async function install({ lists, script, signal, onLine }: Case): Promise<{ calls: string[]; lines: string[] }> {
  mkdirSync(join(place, "lists"));
  if (lists) writeFileSync(join(place, "lists", "deb_main_binary-amd64_Packages"), "");
  const aptGet = program("apt-get", `PATH=${path}\nshift 2\necho "$@" >> ${place}/calls\n${script}`);
  const lines: string[] = [];
  const progress = (line: string) => {
    lines.push(line);
    onLine?.(line);
  };
  await installPackages(["crun"], { path, aptGet, lists: join(place, "lists"), progress, signal: signal ?? new AbortController().signal });
  return { calls: readFileSync(join(place, "calls"), "utf8").trim().split("\n"), lines };
}

function program(name: string, script: string): string {
  const file = join(place, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return file;
}
