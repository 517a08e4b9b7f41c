import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { createMicrovmDriver } from "../../src/guests/microvm.ts";
import { findQemu } from "../../src/guests/qemu-program.ts";
import type { SandboxDriver, SandboxExit, SandboxPlan } from "../../src/guests/sandbox.ts";
import { buildRootDisk, buildSandboxVm } from "../../src/images/sandbox-vm.ts";
import { ImageStore } from "../../src/images/store.ts";
import { WorkspaceDisks } from "../../src/images/workspace-disk.ts";
import { cgroupProcesses, findCgroups, listCgroups, removeCgroup } from "../../src/kernel/cgroups.ts";
import { text } from "../kernel/trusted-bed.ts";
import { testSandboxVm } from "../../scripts/test-mini.ts";

describe("one command in a virtual machine", () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-sandbox-vm-"));
  const cgroups = findCgroups();
  const cgroupParent = `/nexus-sandbox-vm-${process.pid}`;
  const owner = { uid: 12_345, gid: 12_345 };
  let driver: SandboxDriver;
  let count = 0;

  before(async () => {
    chmodSync(directory, 0o755);
    const images = new ImageStore({ directory: join(directory, "images") });
    const image = await images.resolve("mini", () => undefined);
    const rootDisk = await buildRootDisk({ directory: join(directory, "disks"), root: image.lower, key: image.key });
    const { path } = await findQemu();
    driver = createMicrovmDriver({
      parts: async () => ({ ...(await buildSandboxVm({ directory: testSandboxVm })), rootDisk }),
      program: async () => ({ path, accel: { kind: "tcg", why: "the test's choice" } }),
      workspaces: new WorkspaceDisks({ growthBytes: 64 << 20 }),
      cgroups,
      cgroupParent,
    });
  });
  after(() => {
    assert.deepEqual(listCgroups(cgroups, cgroupParent), []);
    removeCgroup(cgroups, cgroupParent);
    rmSync(directory, { recursive: true, force: true });
  });

  function plan(command: [string, ...string[]], more: Partial<SandboxPlan> = {}): SandboxPlan {
    const id = `vm${process.pid}-${++count}`;
    return {
      id,
      command,
      env: { PATH: "/bin", GREETING: "two words" },
      cwd: "/",
      limits: { memoryBytes: 192 << 20, cpus: 1, pids: 64, openFiles: 256, scratchBytes: 32 << 20 },
      egress: { kind: "none" },
      directory: join(directory, "runs", id),
      ...more,
    };
  }

  async function run(asked: SandboxPlan): Promise<SandboxExit & { out: string; err: string }> {
    await using started = await driver.start(asked, AbortSignal.timeout(120_000));
    const [out, err] = await Promise.all([text(started.stdout), started.stderr === undefined ? "" : text(started.stderr)]);
    return { ...(await started.exit), out, err };
  }

  function workspace(files: Record<string, string>): NonNullable<SandboxPlan["workspace"]> {
    const source = mkdtempSync(join(directory, "workspace-"));
    chmodSync(source, 0o755);
    for (const [name, content] of Object.entries(files)) {
      const path = join(source, name);
      if (name.includes("/")) mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, content);
    }
    for (const entry of ["", ...readdirSync(source, { recursive: true, encoding: "utf8" })])
      chownSync(join(source, entry), owner.uid, owner.gid);
    return { source, target: "/workspace", owner };
  }

  it("gives output, errors and status exactly, in the environment given and no other", async () => {
    const script = "printf 'a\\000\\377b'; printf err >&2; env >/tmp/env; grep -v -E '^(PWD|SHLVL)=' /tmp/env; id -u; exit 7";
    assert.deepEqual(await run(plan(["sh", "-c", script])), {
      code: 7,
      outOfMemory: false,
      out: "a\0\u00ffbGREETING=two words\nPATH=/bin\n65534\n",
      err: "err",
    });
  });

  it("has no card, no way out without the proxy, and nothing of the host's", async () => {
    const { out } = await run(
      plan(["sh", "-c", "cd /sys/class/net 2>/dev/null && ls; cat /proc/net/dev | tail -n +3; nc -w 1 127.0.0.1 3128 || echo closed"]),
    );
    assert.match(out, /^\s*lo:[^\n]*\nclosed\n$/);
  });

  it("reaches the proxy, and it alone, over its port; many connections at once, and their ends", async () => {
    const asked: string[] = [];
    const serve = (connection: Duplex): void => {
      let said = "";
      connection.on("data", (bytes: Buffer) => (said += bytes.toString()));
      connection.on("end", () => {
        asked.push(said.trim());
        connection.end(`answer to ${said}`);
      });
    };
    const script = "for i in 1 2 3 4 5; do (echo $i | nc 127.0.0.1 3128) & done; wait";
    const { out } = await run(plan(["sh", "-c", script], { egress: { kind: "proxy", port: 3128, serve } }));
    assert.deepEqual(asked.toSorted(), ["1", "2", "3", "4", "5"]);
    assert.deepEqual(
      out.trim().split("\n").toSorted(),
      [1, 2, 3, 4, 5].map((i) => `answer to ${i}`),
    );
  });

  it("passes input on to its end, and megabytes of output whole", async () => {
    const input = Buffer.alloc(3 << 20, "0123456789abcdef\n");
    await using started = await driver.start(plan(["sh", "-c", "md5sum; head -c 3000000 /dev/zero"]), AbortSignal.timeout(120_000));
    started.stdin.end(input);
    const out = await text(started.stdout);
    assert.equal(out.slice(0, 32), createHash("md5").update(input).digest("hex"));
    assert.equal(out.length, "  -\n".length + 32 + 3_000_000);
    assert.equal((await started.exit).code, 0);
  });

  it("takes the workspace back: what is new, changed and gone; what is the same is not touched", async () => {
    const place = workspace({ same: "same", old: "old", gone: "gone", "dir/inner": "x", "away/deep/file": "y" });
    const before = statSync(join(place.source, "same"));
    const script = `cd /workspace; id -u; rm gone; rm -r away; echo new >old; mkdir made; echo z >made/file; chmod 755 made/file
      ln -s /etc/passwd link; mv dir/inner dir/other; printf 'a' >"$(printf 'odd\\nname')"`;
    const done = await run(plan(["sh", "-c", script], { workspace: place, cwd: "/workspace" }));
    assert.deepEqual([done.code, done.out, done.err], [0, "12345\n", ""]);
    const all = readdirSync(place.source, { recursive: true, encoding: "utf8" }).toSorted();
    assert.deepEqual(all, ["dir", "dir/other", "link", "made", "made/file", "odd\nname", "old", "same"]);
    assert.equal(readFileSync(join(place.source, "old"), "utf8"), "new\n");
    assert.equal(readlinkSync(join(place.source, "link")), "/etc/passwd");
    assert.equal(statSync(join(place.source, "made/file")).mode & 0o777, 0o755);
    for (const path of all) assert.equal(lstatSync(join(place.source, path)).uid, owner.uid, path);
    const after = statSync(join(place.source, "same"));
    assert.deepEqual([after.ino, after.mtimeMs], [before.ino, before.mtimeMs]);
  });

  it("brings no right out of the guest, and follows no link of it", async () => {
    const outside = join(directory, "outside");
    mkdirSync(outside, { mode: 0o777 });
    chmodSync(outside, 0o777);
    const place = workspace({ "dir/file": "x", tool: "x" });
    const script = `cd /workspace; chmod 6755 tool; rm -r dir; ln -s ${outside} dir; mkfifo pipe; ln -s / root`;
    assert.equal((await run(plan(["sh", "-c", script], { workspace: place, cwd: "/workspace" }))).code, 0);
    assert.equal(statSync(join(place.source, "tool")).mode & 0o7777, 0o755);
    assert.equal(readlinkSync(join(place.source, "dir")), outside);
    assert.deepEqual(readdirSync(outside), []);
    assert.equal(existsSync(join(place.source, "pipe")), false);
    // The other way round: what was a link is a directory now.
    const back = "cd /workspace; rm dir; mkdir dir; echo in >dir/file";
    assert.equal((await run(plan(["sh", "-c", back], { workspace: place, cwd: "/workspace" }))).code, 0);
    assert.deepEqual(readdirSync(outside), []);
    assert.equal(readFileSync(join(place.source, "dir/file"), "utf8"), "in\n");
  });

  it("says as a shell does what is not there or cannot be run", async () => {
    const absent = await run(plan(["no-such-command"]));
    assert.deepEqual([absent.code, absent.err], [127, "no-such-command: command not found\n"]);
    const directory = await run(plan(["/etc"]));
    assert.deepEqual([directory.code, directory.err], [126, "/etc: Permission denied\n"]);
  });

  it("tells memory that ran out", async () => {
    const done = await run(plan(["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]));
    assert.deepEqual([done.code, done.outOfMemory], [137, true]);
  });

  it("is killed for certain, at once, and leaves the workspace as it last was whole", async () => {
    const place = workspace({ file: "before" });
    const asked = plan(["sh", "-c", "trap '' TERM; echo up; sleep 1000"], { workspace: place });
    await using started = await driver.start(asked, AbortSignal.timeout(120_000));
    await new Promise((resolve) => started.stdout.once("data", resolve));
    const began = performance.now();
    await started.kill();
    assert.ok(performance.now() - began < 2000);
    assert.deepEqual(cgroupProcesses(cgroups, `${cgroupParent}/${asked.id}`), []);
    assert.equal((await started.exit).code, 137);
    assert.equal(readFileSync(join(place.source, "file"), "utf8"), "before");
  });

  it("hears signals, and sizes of its terminal", async () => {
    // The signal is for the whole group, and a shell tells of children that end by it: they ignore it.
    const script = "trap '' TERM; sleep 1000 & stty size; trap 'stty size; exit 9' TERM; echo ready; wait";
    await using started = await driver.start(
      plan(["sh", "-c", script], { terminal: { columns: 91, rows: 33 } }),
      AbortSignal.timeout(120_000),
    );
    const out = text(started.stdout);
    let heard = "";
    await new Promise<void>((resolve) => {
      started.stdout.on("data", (piece: Buffer) => {
        heard += piece.toString();
        if (heard.includes("ready")) resolve();
      });
    });
    started.resize(100, 40);
    started.signal("SIGTERM");
    assert.equal((await started.exit).code, 9);
    assert.match(await out, /^33 91\r\nready\r\n40 100\r\n$/);
  });
});
