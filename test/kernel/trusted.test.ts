import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { setLimits } from "../../src/kernel/cgroup-limits.ts";
import { cgroupProcesses, listCgroups } from "../../src/kernel/cgroups.ts";
import { raiseLoopback } from "../../src/kernel/loopback.ts";
import { ownNamespace } from "../../src/kernel/namespaces.ts";
import { busyboxRoot } from "./busybox-root.ts";
import { until } from "./oci-bed.ts";
import { text, TrustedBed } from "./trusted-bed.ts";

for (const name of ["oci", "podman"] as const)
  describe(`the trusted profile by ${name}`, () => {
    let bed: TrustedBed;
    before(() => {
      // Without it the host's own 127.0.0.1 would refuse whatever listened there.
      using own = ownNamespace();
      raiseLoopback(own);
      bed = new TrustedBed();
    });
    after(() => bed[Symbol.asyncDispose]());
    const driver = () => bed.drivers[name];

    it("works here, by trying", async () => {
      assert.equal((await driver().check()).works, true);
    });

    it("gives output and exit status exactly, and leaves nothing", async () => {
      const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;
      const done = await bed.run(driver(), bed.plan(["sh", "-c", "printf 'a\\000\\377b'; printf err >&2; exit 7"]));
      assert.deepEqual(done, { code: 7, outOfMemory: false, out: "a\0\u00ffb", err: "err" });
      assert.deepEqual(listCgroups(bed.cgroups, bed.cgroupParent), []);
      assert.equal(readFileSync("/proc/self/mountinfo", "utf8").split("\n").length, mounts);
    });

    it("passes input on, and its end", async () => {
      await using started = await driver().start(bed.plan(["sh", "-c", "cat; echo done"]), AbortSignal.timeout(30_000));
      started.stdin.end("hello\n");
      assert.equal(await text(started.stdout), "hello\ndone\n");
      assert.equal((await started.exit).code, 0);
    });

    it("has exactly the environment given, no capability, no new privileges, and limits", async () => {
      const { out } = await bed.run(
        driver(),
        bed.plan(["sh", "-c", "env; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status; ulimit -n"]),
      );
      const env = out.split("\n").filter((line) => /^[A-Z]+=/.test(line) && !/^(PWD|SHLVL|HOSTNAME|container)=/.test(line));
      assert.deepEqual(env.toSorted(), ["HOME=/", "PATH=/bin:/usr/bin"]);
      assert.match(out, /CapBnd:\t0{16}/);
      assert.match(out, /CapEff:\t0{16}/);
      assert.match(out, /NoNewPrivs:\t1\n256\n$/);
    });

    it("says as a shell does what is not there or cannot be run", async () => {
      const absent = await bed.run(driver(), bed.plan(["no-such-command"]));
      assert.equal(absent.code, 127);
      assert.equal(absent.err, "no-such-command: command not found\n");
      const directory = await bed.run(driver(), bed.plan(["/etc"]));
      assert.equal(directory.code, 126);
      assert.equal(directory.err, "/etc: Permission denied\n");
    });

    it("runs on the image it is given, and writes nothing there", async () => {
      const lower = busyboxRoot(join(bed.directory, `image-${name}`), name);
      mkdirSync(join(bed.directory, "work"), { recursive: true });
      const workspace = { source: join(bed.directory, "work"), target: "/workspace", owner: { uid: 0, gid: 0 } };
      const plan = bed.plan(["sh", "-c", "cat /etc/os-release; touch /workspace/x && echo x >/tmp/x && ls /workspace"], {
        root: { lower },
        workspace,
      });
      assert.equal((await bed.run(driver(), plan)).out, `NAME=${name}\nx\n`);
      assert.deepEqual(readdirSync(lower).toSorted(), ["bin", "etc"]);
    });

    it("writes the workspace as its owner, and nothing else that stays", async () => {
      const source = join(bed.directory, `ws, "${name}"`);
      mkdirSync(source);
      chmodSync(bed.directory, 0o755);
      chownSync(source, 12_345, 12_345);
      const workspace = { source, target: "/workspace", owner: { uid: 12_345, gid: 12_345 } };
      const done = await bed.run(driver(), bed.plan(["sh", "-c", "id -u; echo x >made; pwd"], { workspace, cwd: "/workspace" }));
      assert.equal(done.out, "12345\n/workspace\n");
      assert.equal(statSync(join(source, "made")).uid, 12_345);
    });

    it("has a network of its own, with the proxy's address in it and no other", async () => {
      const own = readlinkSync("/proc/self/ns/net");
      const asked: string[] = [];
      const fromHost: unknown[] = [];
      const serve = (connection: Duplex): void => {
        connection.once("data", (bytes: Buffer) => {
          asked.push(bytes.toString());
          // While it is open in the sandbox, the address is nobody else's.
          void refusalOf(3128).then((code) => {
            fromHost.push(code);
            connection.end("answer\n");
          });
        });
      };
      const words = "readlink /proc/self/ns/net; echo hello | nc 127.0.0.1 3128; nc -w 1 127.0.0.1 1 || echo closed; cat /proc/net/dev";
      const { out } = await bed.run(driver(), bed.plan(["sh", "-c", words], { egress: { kind: "proxy", port: 3128, serve } }));
      assert.deepEqual(asked, ["hello\n"]);
      assert.match(out, /answer\nclosed\n/);
      assert.ok(!out.includes(own));
      assert.deepEqual(
        [...out.matchAll(/^\s*(\w+):/gm)].map((match) => match[1]).filter((link) => link !== "net"),
        ["lo"],
      );
      assert.deepEqual(fromHost, ["ECONNREFUSED"]);
    });

    it("is the host's network only when that is asked for", async () => {
      const done = await bed.run(driver(), bed.plan(["readlink", "/proc/self/ns/net"], { egress: { kind: "host" } }));
      assert.deepEqual([done.out.trim(), done.err], [readlinkSync("/proc/self/ns/net"), ""]);
    });

    it("is killed for certain, with what forked twice and left its session", async () => {
      const plan = bed.plan(["sh", "-c", "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000 & echo up; sleep 1000' &) ; sleep 1000"]);
      await using started = await driver().start(plan, AbortSignal.timeout(30_000));
      await new Promise((resolve) => started.stdout.once("data", resolve));
      started.signal("SIGTERM");
      // Beside the command there may be a helper of podman, which tells of its end.
      const group = `${bed.cgroupParent}/${plan.id}`;
      const commands = (): string[] =>
        cgroupProcesses(bed.cgroups, group)
          .map(nameOf)
          .filter((process) => /sleep|sh/.test(process));
      await until("all of it runs its programs", () => commands().length >= 3);
      const began = performance.now();
      await started.kill();
      assert.deepEqual(commands(), []);
      assert.equal((await started.exit).code, 137);
      assert.ok(performance.now() - began < 5000);
    });

    it("ends with what it left behind when the command itself has ended", async () => {
      const plan = bed.plan(["sh", "-c", "(setsid sleep 1000 &) ; echo up"]);
      const done = await bed.run(driver(), plan);
      assert.deepEqual([done.code, done.out], [0, "up\n"]);
    });

    it("tells memory that ran out", async () => {
      const plan = bed.plan(["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]);
      const done = await bed.run(driver(), { ...plan, limits: { ...plan.limits, memoryBytes: 32 << 20 } });
      assert.equal(done.outOfMemory, true);
      assert.notEqual(done.code, 0);
    });

    it("holds scratch to its size", async () => {
      const plan = bed.plan(["sh", "-c", "head -c 16777216 /dev/zero >/tmp/x; echo $?; wc -c </tmp/x"]);
      const { out } = await bed.run(driver(), plan);
      const [status, size] = out.trim().split("\n").map(Number);
      assert.notEqual(status, 0);
      assert.ok((size ?? Infinity) <= 8 << 20);
    });

    it("gives a terminal of the size asked for", async () => {
      const plan = bed.plan(["sh", "-c", "stty size; [ -t 0 ] && echo tty; exit 3"], { terminal: { columns: 91, rows: 33 } });
      await using started = await driver().start(plan, AbortSignal.timeout(30_000));
      const out = await text(started.stdout);
      assert.equal(out, "33 91\r\ntty\r\n");
      assert.equal((await started.exit).code, 3);
    });

    it("sweeps what a crash left, as often as asked", async () => {
      const plan = bed.plan(["sleep", "1000"]);
      const started = await driver().start(plan, AbortSignal.timeout(30_000));
      await bed.drivers[name].sweep(plan);
      assert.equal((await started.exit).code, 137);
      assert.equal(existsSync(plan.directory), false);
      await driver().sweep(plan);
      await started[Symbol.asyncDispose]();
      assert.deepEqual(listCgroups(bed.cgroups, bed.cgroupParent), []);
    });

    it("refuses, with its words, what the runtime refuses; nothing is left then", async () => {
      const workspace = { source: join(bed.directory, "absent"), target: "/workspace", owner: { uid: 0, gid: 0 } };
      await assert.rejects(
        driver().start(bed.plan(["true"], { workspace }), AbortSignal.timeout(30_000)),
        (error) => error instanceof NexusError && error.code === "runtime-failed" && /absent|no such file/i.test(error.message),
      );
      assert.deepEqual(listCgroups(bed.cgroups, bed.cgroupParent), []);
    });
  });

it("a runtime that was being tried when the daemon was killed is tried again, and what was left of that is removed", async () => {
  await using bed = new TrustedBed();
  const { pid } = spawnSync("true");
  const left = join(bed.directory, "oci", `trial-${pid}-abcdef`);
  mkdirSync(left, { recursive: true });
  setLimits(bed.cgroups, `${bed.cgroupParent}/trial-${pid}-abcdef`, { pids: 8 });
  assert.equal((await bed.drivers.oci.check()).works, true);
  assert.equal(existsSync(left), false);
  assert.deepEqual(listCgroups(bed.cgroups, bed.cgroupParent), []);
});

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

function refusalOf(port: number): Promise<unknown> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => {
      socket.destroy();
      resolve("connected");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
  });
}
