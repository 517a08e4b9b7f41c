import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createBubblewrapDriver } from "../../src/guests/bubblewrap.ts";
import { cgroupProcesses, listCgroups } from "../../src/kernel/cgroups.ts";
import { until } from "./oci-bed.ts";
import { SandboxBed } from "./sandbox-bed.ts";

describe("what goes wild in a sandbox harms nobody else, and ends", () => {
  let bed: SandboxBed;
  before(() => {
    bed = new SandboxBed();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  const bombs: readonly { name: string; script: string; limits?: Record<string, number> }[] = [
    { name: "forks", script: "bomb() { bomb | bomb & }; while :; do bomb; done 2>/dev/null", limits: { pids: 50 } },
    { name: "takes memory", script: "while :; do head -c 1G /dev/zero | tail >/dev/null; done", limits: { memoryBytes: 32 << 20 } },
    { name: "fills its scratch", script: "while :; do for d in /tmp /run /dev/shm ~; do cat /dev/zero >$d/x; done; done 2>/dev/null" },
    { name: "fills its scratch with names", script: "i=0; while :; do i=$((i+1)); : >/tmp/$i || i=0; done 2>/dev/null" },
    { name: "opens files", script: 'while :; do perl -e \'while (open(my $f, "<", "/dev/null")) { push @f, $f }\'; done' },
    { name: "spins", script: "while :; do :; done", limits: { cpus: 0.2 } },
    { name: "writes without end, unread", script: "exec yes" },
  ];

  for (const { name, script, limits } of bombs) {
    it(`that ${name}`, async () => {
      await using wild = await bed.start(["bash", "-c", script], { ...(limits && { limits }) });
      const others: number[] = [];
      for (let i = 0; i < 5; i++) {
        const begun = performance.now();
        assert.equal((await bed.sh("echo fine > /tmp/x && cat /tmp/x")).stdout, "fine\n");
        others.push(performance.now() - begun);
      }
      assert.ok(Math.min(...others) < 2000, `others took ${others.join(", ")} ms`);
      const begun = performance.now();
      await wild.kill();
      assert.ok(performance.now() - begun < 3000, "it took long to end");
    });
  }

  it("forked twice, in a session of its own, deaf to signals: gone with the command, and gone when killed", async () => {
    const survivor = "perl -e '$SIG{$_} = \"IGNORE\" for keys %SIG; use POSIX; fork and exit; setsid; fork and exit; sleep 600'";
    await using ended = await bed.start(["sh", "-c", `${survivor}; echo started`]);
    await ended.exit;
    await using killed = await bed.start(["sh", "-c", `${survivor}; exec sleep 600`]);
    await killed.kill();
    const words = bed.traces().processes.map((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1"));
    assert.deepEqual(
      words.filter((line) => line.includes("IGNORE") || line.includes("600")),
      [],
    );
  });

  it("writes a hundred megabytes of anything, and every byte arrives", async () => {
    const bytes = randomBytes(1 << 20);
    await using sandbox = await bed.start(["sh", "-c", "cat >/tmp/x; for i in $(seq 100); do cat /tmp/x; done"]);
    sandbox.stdin.end(bytes);
    const hash = createHash("sha256");
    for await (const piece of sandbox.stdout) hash.update(piece as Buffer);
    const expected = createHash("sha256");
    for (let i = 0; i < 100; i++) expected.update(bytes);
    assert.equal(hash.digest("hex"), expected.digest("hex"));
    assert.equal((await sandbox.exit).code, 0);
  });

  it("leaves no process when the daemon is killed, and its next start removes the rest", async () => {
    const directory = join(bed.directory, "of-the-killed");
    mkdirSync(directory);
    const daemon = startDaemon(join(import.meta.dirname, "sandbox-daemon.ts"), [bed.parent, directory, bed.workspace]);
    const processes = (): string[] =>
      readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => cmdline(pid).includes(`of-${daemon.pid}`));
    await until("its sandbox runs", () => processes().length >= 2, 30_000);
    daemon.kill("SIGKILL");
    await until("nothing of it runs", () => processes().length === 0);
    assert.deepEqual(readdirSync(bed.workspace), []);
    const path = readFileSync(join(directory, "cgroup"), "utf8");
    assert.deepEqual(cgroupProcesses(bed.cgroups, path), []);
    assert.ok(listCgroups(bed.cgroups, bed.parent).some((name) => path.endsWith(name)));
    await using again = createBubblewrapDriver({ namespaces: { takeOrMake: () => assert.fail() }, cgroupParent: bed.parent });
    await again.sweep({ id: "run", directory });
    await again.sweep({ id: "run", directory });
    assert.ok(!listCgroups(bed.cgroups, bed.parent).some((name) => path.endsWith(name)));
  });
});

function startDaemon(file: string, words: string[]): ChildProcess {
  assert.ok(existsSync(file));
  return spawn(process.execPath, [file, ...words], { stdio: "inherit" });
}

function cmdline(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}
