import assert from "node:assert/strict";
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { once } from "node:events";
import type { NexusError } from "../../src/base/errors.ts";
import { mountOverlay, unmount } from "../../src/kernel/mounts.ts";
import { until } from "./oci-bed.ts";
import { isDeepStrictEqual } from "node:util";
import { SandboxBed } from "./sandbox-bed.ts";

describe("a sandbox by bubblewrap", () => {
  let bed: SandboxBed;
  before(() => {
    bed = new SandboxBed();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it("passes the command's words, output, errors and exit code on as they are", async () => {
    const words = ["a b", "", "-x", "--", "$(id)", "'", '"', "new\nline", "\n", "ü", "*"];
    const { stdout, stderr, exit } = await bed.run(["sh", "-c", 'printf "[%s]" "$@"; echo oops >&2; exit 42', "sh", ...words]);
    assert.equal(stdout, words.map((word) => `[${word}]`).join(""));
    assert.equal(stderr, "oops\n");
    assert.deepEqual(exit, { code: 42, outOfMemory: false });
  });

  it("gives the command its input, byte for byte", async () => {
    const input = "\0\n\u0001ÿ".repeat(50_000);
    const { stdout } = await bed.run(["cat"], { input });
    assert.equal(stdout, input);
  });

  it("ends as a shell says: 127 when there is no such command, 126 when it cannot be run, 128 and the number of a signal", async () => {
    const refused: [command: string, code: number, words: string][] = [
      ["no-such-command", 127, "command not found"],
      ["cd", 127, "command not found"],
      ["./no-such-file", 127, "No such file or directory"],
      ["/etc/passwd", 126, "Permission denied"],
      ["/etc", 126, "Is a directory"],
    ];
    for (const [command, code, words] of refused) {
      for (const terminal of [undefined, { columns: 80, rows: 24 }]) {
        const { stdout, stderr, exit } = await bed.run([command], { ...(terminal && { terminal }) });
        assert.deepEqual([exit.code, (stdout + stderr).trim()], [code, `${command}: ${words}`]);
      }
    }
    assert.equal((await bed.sh("kill -TERM $$")).exit.code, 143);
    assert.equal((await bed.sh("kill -KILL $$")).exit.code, 137);
  });

  it("is not confused by a command named like a word of the shell", async () => {
    assert.equal((await bed.run(["echo", "a\\tb"])).stdout, "a\\tb\n");
    assert.equal((await bed.run(["exit", "3"])).exit.code, 127);
  });

  it("writes the workspace as its owner, whoever that is, below directories nobody else may enter", async () => {
    for (const uid of [0, 1000]) {
      const source = join(bed.directory, `of-${uid}`);
      mkdirSync(source, { mode: 0o700 });
      writeFileSync(join(source, "there"), "before", { mode: 0o600 });
      for (const path of [source, join(source, "there")]) chownSync(path, uid, uid);
      const workspace = { source, target: "/workspace", owner: { uid, gid: uid } };
      const { stdout, exit } = await bed.sh("id -u; cat there; echo now >there; echo new >made; stat -c %u there made", { workspace });
      assert.equal(stdout, "1000\nbefore1000\n1000\n");
      assert.equal(exit.code, 0);
      assert.equal(readFileSync(join(source, "there"), "utf8"), "now\n");
      assert.deepEqual([statSync(join(source, "made")).uid, statSync(join(source, "made")).gid], [uid, uid]);
    }
  });

  it("runs as the owner where a file system cannot show files as another's, and never as root", async () => {
    const [lower, upper, work, source] = ["lower", "upper", "work", "overlay"].map((name) => join(bed.directory, name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const path of [lower, upper, work, source]) mkdirSync(path);
    mountOverlay({ lower: [lower], upper, work, target: source });
    try {
      const workspace = (uid: number) => ({ source, target: "/workspace", owner: { uid, gid: uid } });
      await assert.rejects(
        bed.sh("true", { workspace: workspace(0) }),
        (error: NexusError) => error.code === "unsupported" && error.hint !== undefined,
      );
      chownSync(source, 1000, 1000);
      const { stdout } = await bed.sh("id -u; echo x >made; stat -c %u made; touch /tmp/x ~/x && echo both", {
        workspace: workspace(1000),
      });
      assert.equal(stdout, "1000\n1000\nboth\n");
      assert.equal(statSync(join(source, "made")).uid, 1000);
    } finally {
      unmount(source);
    }
  });

  it("is on the host a user whom nothing belongs to, and another in each run", async () => {
    await using one = await bed.start(["sleep", "60"]);
    await using two = await bed.start(["sleep", "60"]);
    const uids = bed.traces().processes.map((pid) => statSync(`/proc/${pid}`).uid);
    assert.ok(uids.every((uid) => uid > 2_000_000_000));
    assert.ok(new Set(uids).size >= 2);
    await Promise.all([one.kill(), two.kill()]);
  });

  it("reaches the proxy's address and nothing else", async () => {
    const said: string[] = [];
    const serve = (connection: Duplex): void => {
      connection.on("data", (bytes: Buffer) => said.push(bytes.toString()));
      connection.end("from outside\n");
    };
    const script =
      "exec 3<>/dev/tcp/127.0.0.1/9080; echo inside >&3; cat <&3; (echo >/dev/tcp/127.0.0.1/9081) 2>&1; (echo >/dev/tcp/10.0.0.1/80) 2>&1";
    const { stdout } = await bed.run(["bash", "-c", script], { egress: { kind: "proxy", port: 9080, serve } });
    assert.match(stdout, /^from outside\n.*9081: Connection refused\n.*10.0.0.1.*Network is unreachable\n/s);
    await until("the proxy has read", () => said.join("") === "inside\n");
    const here = connect({ port: 9080, host: "127.0.0.1" });
    await once(here, "error");
  });

  it("holds memory, processes, files and what is written beside the workspace to the plan", async () => {
    const memory = await bed.sh("tail /dev/zero", { limits: { memoryBytes: 32 << 20 } });
    assert.deepEqual(memory.exit, { code: 137, outOfMemory: true });
    const pids = await bed.sh("for i in $(seq 50); do sleep 5 & done", { limits: { pids: 10 } });
    assert.match(pids.stderr, /fork/i);
    assert.equal((await bed.run(["sh", "-c", "exec true"], { limits: { pids: 1 } })).exit.code, 0);
    assert.equal((await bed.sh("sleep 5 & echo $?", { limits: { pids: 2 } })).stdout, "0\n");
    assert.notEqual((await bed.sh("sleep 5 & echo $?", { limits: { pids: 1 } })).stdout, "0\n");
    assert.equal((await bed.sh("ulimit -Hn; ulimit -n 300", { limits: { openFiles: 64 } })).stdout, "64\n");
    const scratch = "for d in /tmp /run /dev/shm $HOME; do head -c 600K /dev/zero >$d/x || echo $d; done";
    assert.equal((await bed.sh(scratch, { limits: { scratchBytes: 1 << 20 } })).stdout, "/run\n/dev/shm\n/home/sandbox\n");
  });

  it("is the same under a daemon that lets nobody read what it makes", async () => {
    const before = process.umask(0o077);
    try {
      await using strict = new SandboxBed();
      const workspace = { source: strict.workspace, target: "/srv-of/work", owner: { uid: 0, gid: 0 } };
      const { stdout, exit } = await strict.sh("id -un; cat /etc/hosts | wc -l; pwd; umask", { workspace, cwd: "/srv-of/work" });
      assert.deepEqual([stdout, exit.code], ["sandbox\n2\n/srv-of/work\n0022\n", 0]);
    } finally {
      process.umask(before);
    }
  });

  it("has a terminal of its own when asked, with a name, a size, job control and signals", async () => {
    await using sandbox = await bed.start(["bash", "--norc"], {
      terminal: { columns: 91, rows: 33 },
      env: { PATH: "/usr/bin:/bin", PS1: "$ " },
    });
    let said = "";
    sandbox.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    sandbox.stdin.write("tty; stty size\n");
    await until("it has told its size", () => said.includes("33 91"));
    assert.match(said, /\/dev\/pts\/0/);
    assert.doesNotMatch(said, /no job control/);
    sandbox.resize(100, 40);
    sandbox.stdin.write("stty size; echo sle''eping; sleep 60\n");
    await until("the new size", () => said.includes("40 100"));
    await until("it sleeps", () => said.includes("sleeping"));
    sandbox.stdin.write("\u0003");
    sandbox.stdin.write("echo ended with $?; exit 7\n");
    assert.equal((await sandbox.exit).code, 7);
    assert.match(said, /ended with 130/);
  });

  it("sends signals to the command and its group", async () => {
    await using sandbox = await bed.start(["sh", "-c", "trap 'echo heard; exit 9' TERM; echo ready; while :; do sleep 0.05; done"]);
    let said = "";
    sandbox.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    await until("it is ready", () => said.includes("ready"));
    sandbox.signal("SIGTERM");
    assert.equal((await sandbox.exit).code, 9);
    assert.match(said, /heard/);
  });

  it("says why a sandbox could not be made, and runs nothing then", async () => {
    await assert.rejects(
      bed.sh("touch /workspace/ran", { cwd: "/nowhere" }),
      (error: NexusError) => error.code === "runtime-failed" && /\/nowhere/.test(error.message),
    );
    await assert.rejects(bed.sh("true", { id: "../x" }), (error: NexusError) => error.code === "usage");
    await assert.rejects(bed.sh("true", { env: { "A=B": "" } }), (error: NexusError) => error.code === "usage");
    const inside = { source: bed.workspace, target: "/usr/x", owner: { uid: 0, gid: 0 } };
    await assert.rejects(bed.sh("true", { workspace: inside }), (error: NexusError) => error.code === "usage");
    assert.throws(() => statSync(join(bed.workspace, "ran")), { code: "ENOENT" });
  });

  it("leaves nothing: no process, no mount, no descriptor, no cgroup", async () => {
    await bed.sh("true", { egress: { kind: "proxy", port: 80, serve() {} } });
    const before = await bed.settled();
    // Two sandboxes wait for the next run, each with one process outside and one inside.
    assert.equal(before["processes"], 4);
    for (let i = 0; i < 5; i++) await bed.sh("(setsid sleep 60 &) ; exit 1", { egress: { kind: "proxy", port: 80, serve() {} } });
    await until("everything is as before", () => isDeepStrictEqual(bed.count(), before)).catch(() => assert.deepEqual(bed.count(), before));
  });
});
