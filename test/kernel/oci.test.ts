import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import type { RuntimeCommand } from "../../src/guests/supervisor.ts";
import { NexusError } from "../../src/base/errors.ts";
import { cgroupProcesses, controllerDirectory } from "../../src/kernel/cgroups.ts";
import { OciBed, text, until } from "./oci-bed.ts";

const kinds: [string, readonly RuntimeCommand[] | undefined, string | false][] = [
  ["the first runtime that works", undefined, false],
  ["runc", [{ program: "runc" }], existsSync("/usr/sbin/runc") || existsSync("/usr/bin/runc") ? false : "runc is not installed"],
];

for (const [kind, runtimes, skip] of kinds)
  describe(`containers by ${kind}`, { skip }, () => {
    let bed: OciBed;
    before(() => {
      bed = new OciBed(runtimes);
    });
    after(async () => {
      await bed[Symbol.asyncDispose]();
    });
    const refusedWith =
      (code: string, words: RegExp) =>
      (error: unknown): boolean =>
        error instanceof NexusError && error.code === code && words.test(error.message);

    it("probes every runtime by running a container, and gives the words of those that fail", async () => {
      const probes = await bed.driver.probeRuntimes();
      assert.ok(
        probes.some((probe) => probe.result.kind === "works"),
        JSON.stringify(probes),
      );
      for (const probe of probes) if (probe.result.kind === "fails") assert.ok(probe.result.problem.length > 10);
    });

    it("runs in its own namespaces, hostname and files, below its limits", async () => {
      const plan = await bed.run(
        "confined",
        ["sh", "-c", "hostname; cat /etc/resolv.conf /etc/hosts; echo env=$A:$container; ls -a /root; exec sleep 1000"],
        { mem: 64, cpu: 512, cpus: 0.5, pids: 40, env: { A: "b" } },
      );
      const status = await bed.driver.observe(plan);
      assert.equal(status.kind, "running");
      if (status.kind !== "running") return;
      assert.deepEqual(status.limits, { memoryBytes: 64 << 20, cpuShares: 512, cpus: 0.5, pids: 40 });
      const memory = controllerDirectory(bed.cgroups, "memory", `${bed.parent}/confined`);
      assert.equal(
        readFileSync(join(memory?.directory ?? "", memory?.version === 1 ? "memory.limit_in_bytes" : "memory.max"), "utf8"),
        `${64 << 20}\n`,
      );
      assert.notEqual(readlinkSync(`/proc/${status.pid}/ns/net`), readlinkSync("/proc/self/ns/net"));
      await until("all of its output", () => bed.log(plan).includes("env="));
      assert.match(
        bed.log(plan),
        /^confined\nsearch nexus\nnameserver 10\.0\.0\.1\n127\.0\.0\.1\tlocalhost\n[\s\S]*10\.0\.0\.2\tconfined\nenv=b:nexus\n/,
      );
      assert.ok(Math.abs(Date.parse(status.startedAt) - Date.now()) < 60_000);
      bed.driver.updateNameservers(plan, ["10.9.9.9" as never], []);
      const session = await bed.driver.exec(plan, { command: ["cat", "/etc/resolv.conf"], env: {} });
      assert.equal(await text(session.stdout), "nameserver 10.9.9.9\n");
      await bed.driver.remove(plan);
    });

    it("starting twice is starting once", async () => {
      const plan = await bed.run("twice", ["sleep", "1000"]);
      const first = await bed.driver.observe(plan);
      assert.deepEqual(await bed.driver.start(plan), first);
      await bed.driver.remove(plan);
    });

    it("keeps its files over a restart, and never writes to the shared image", async () => {
      const plan = await bed.run("keeps", ["sh", "-c", "[ -e /mark ] && echo again; touch /mark; exit 3"]);
      assert.equal((await bed.exit(plan)).code, 3);
      await bed.driver.start(plan);
      const exit = await bed.exit(plan);
      assert.deepEqual([exit.code, exit.lastLines], [3, ["again"]]);
      const { lower } = await bed.images.resolve("mini");
      assert.equal(existsSync(join(lower, "mark")), false);
      await bed.driver.remove(plan);
    });

    it("reports a command that ends at once as exited, with its code and words", async () => {
      const plan = bed.plan("brief", { command: ["sh", "-c", "echo so long; exit 42"] });
      await bed.driver.prepare(plan, () => undefined);
      await bed.driver.start(plan);
      const exit = await bed.exit(plan);
      assert.deepEqual([exit.code, exit.signal, exit.oomKilled, exit.lastLines], [42, undefined, false, ["so long"]]);
      assert.deepEqual(await bed.anotherDriver().observe(plan), { kind: "exited", exit });
      await bed.driver.remove(plan);
    });

    it("refuses a command that is not there in the runtime's words, and leaves nothing running", async () => {
      const plan = bed.plan("nocommand", { command: ["/no/such/program"] });
      await bed.driver.prepare(plan, () => undefined);
      await assert.rejects(bed.driver.start(plan), refusedWith("runtime-failed", /no\/such\/program/));
      assert.deepEqual(cgroupProcesses(bed.cgroups, `${bed.parent}/nocommand`), []);
      assert.deepEqual(await bed.driver.observe(plan), { kind: "absent" });
      assert.deepEqual(bed.traces().cgroups, []);
      await bed.driver.remove(plan);
    });

    it("refuses a user the image does not have", async () => {
      const lower = (await bed.images.resolve("mini")).lower;
      const plan = bed.plan("nouser", { image: lower, command: ["true"] });
      await bed.driver.prepare(plan, () => undefined);
      const image = JSON.parse(readFileSync(join(plan.directory, "image.json"), "utf8"));
      image.config.user = "stranger";
      writeFileSync(join(plan.directory, "image.json"), JSON.stringify(image));
      await assert.rejects(bed.driver.start(plan), refusedWith("runtime-failed", /no user "stranger"/));
      image.config.user = "nobody";
      image.config.command = ["id", "-u"];
      writeFileSync(join(plan.directory, "image.json"), JSON.stringify(image));
      plan.spec.command = [];
      await bed.driver.start(plan);
      assert.deepEqual((await bed.exit(plan)).lastLines, ["65534"]);
      await bed.driver.remove(plan);
    });

    it("refuses a limit the kernel does not take, naming file and errno", async () => {
      const plan = bed.plan("beyond", { command: ["true"] });
      (plan.spec as { pids: number }).pids = 2 ** 40;
      await bed.driver.prepare(plan, () => undefined);
      await assert.rejects(bed.driver.start(plan), refusedWith("limit-refused", /write 1099511627776 to .*pids\.max: EINVAL/));
      assert.deepEqual(bed.traces().cgroups, []);
      await bed.driver.remove(plan);
    });

    it("runs in the least memory a request may ask for, or says that memory was the reason", async () => {
      const plan = bed.plan("least", { command: ["true"], mem: 4 });
      await bed.driver.prepare(plan, () => undefined);
      const status = await bed.driver.start(plan).catch((error: unknown) => error);
      if (status instanceof Error) assert.ok(refusedWith("limit-refused", /memory/)(status), status.message);
      else {
        const exit = await bed.exit(plan);
        assert.ok(exit.code === 0 || exit.oomKilled, JSON.stringify(exit));
      }
      await bed.driver.remove(plan);
    });

    it("says when the kernel ended it for want of memory, and not when we did", async () => {
      const hungry = await bed.run("hungry", ["sh", "-c", "x=aaaaaaaa; while :; do x=$x$x; done"], { mem: 16 });
      const exit = await bed.exit(hungry);
      assert.deepEqual([exit.code, exit.signal, exit.oomKilled], [137, "SIGKILL", true]);
      // Page cache fills the group to its limit without harm; the kill is ours.
      const full = await bed.run(
        "full",
        ["sh", "-c", "dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null; rm /big; echo full; exec sleep 1000"],
        { mem: 16 },
      );
      await until("the file was written", () => bed.log(full).includes("full"));
      await bed.driver.stop(full, 10);
      const stopped = await bed.driver.observe(full);
      assert.ok(stopped.kind === "exited" && stopped.exit.code === 137 && !stopped.exit.oomKilled, JSON.stringify(stopped));
      await bed.driver.remove(hungry);
      await bed.driver.remove(full);
    });

    it("lets a guest that handles SIGTERM end by itself, and kills one that does not after the grace", async () => {
      const polite = bed.plan("polite");
      await bed.driver.prepare(polite, () => undefined);
      await bed.driver.start(polite);
      // Until the shell has set its trap, SIGTERM does nothing to process 1.
      await until("its sleep runs", () => cgroupProcesses(bed.cgroups, `${bed.parent}/polite`).length > 1);
      const began = performance.now();
      await bed.driver.stop(polite, 5000);
      assert.ok(performance.now() - began < 3000);
      assert.equal((await bed.exit(polite)).code, 0);
      const deaf = await bed.run("deaf", ["sleep", "1000"]);
      await bed.driver.stop(deaf, 50);
      assert.deepEqual([(await bed.exit(deaf)).code, (await bed.exit(deaf)).signal], [137, "SIGKILL"]);
      await bed.driver.stop(deaf, 50);
      await bed.driver.remove(polite);
      await bed.driver.remove(deaf);
    });

    it("gives a command inside its input, output, environment, directory and exit status", async () => {
      const plan = await bed.run("host", ["sleep", "1000"]);
      const session = await bed.driver.exec(plan, {
        command: ["sh", "-c", "cat; pwd; echo $A; echo err >&2; exit 7"],
        env: { A: "it's" },
        cwd: "/tmp",
      });
      session.stdin.end("in\n");
      const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr as NodeJS.ReadableStream), session.exitCode]);
      assert.deepEqual([out, err, code], ["in\n/tmp\nit's\n", "err\n", 7]);
      const killed = await bed.driver.exec(plan, { command: ["sleep", "1000"], env: {} });
      await until("the command runs", () => cgroupProcesses(bed.cgroups, `${bed.parent}/host`).length > 1);
      killed.kill("SIGTERM");
      assert.equal(await killed.exitCode, 143);
      assert.deepEqual(
        readdirSync(plan.directory).filter((name) => name.startsWith("exec-")),
        [],
      );
      await bed.driver.remove(plan);
    });

    it("says once why a command cannot be run, and ends as a shell would", async () => {
      const plan = await bed.run("refuses", ["sh", "-c", "echo plain > /plain; exec sleep 1000"]);
      await until("the file is there", () => existsSync(join(plan.directory, "upper/plain")));
      const cases: [command: string, cwd: string, code: number, words: RegExp][] = [
        ["nothing-like-it", "/", 127, /nothing-like-it/g],
        ["/plain", "/", 126, /permission denied/gi],
        ["true", "/no-such-place", 127, /no-such-place/g],
        ["true", "/plain", 126, /not a directory/gi],
      ];
      for (const [command, cwd, code, words] of cases) {
        for (const terminal of [undefined, { columns: 80, rows: 24 }]) {
          const session = await bed.driver.exec(plan, {
            command: [command],
            env: {},
            cwd,
            ...(terminal === undefined ? {} : { terminal }),
          });
          const said = text(session.stderr ?? session.stdout);
          assert.equal(await session.exitCode, code, `${command} in ${cwd}`);
          assert.equal([...(await said).matchAll(words)].length, 1, await said);
        }
      }
      const own = await bed.driver.exec(plan, { command: ["sh", "-c", "echo not found >&2; exit 1"], env: {} });
      const words = text(own.stderr as NodeJS.ReadableStream);
      assert.deepEqual([await own.exitCode, await words], [1, "not found\n"]);
      await bed.driver.remove(plan);
    });

    it("gives a command a terminal of the size asked for, and changes it", async () => {
      const plan = await bed.run("tty", ["sleep", "1000"]);
      const script = 'read x; echo "got $x"; stty size; until [ "$(stty size)" = "40 100" ]; do sleep 0.02; done; tty; exit 5';
      const session = await bed.driver.exec(plan, { command: ["sh", "-c", script], env: {}, terminal: { columns: 91, rows: 31 } });
      let seen = "";
      session.stdout.on("data", (bytes: Buffer) => (seen += bytes.toString()));
      session.stdin.write("word\n");
      await until("the first size", () => seen.includes("31 91"));
      assert.equal(seen, "word\r\ngot word\r\n31 91\r\n");
      session.resize(100, 40);
      assert.equal(await session.exitCode, 5);
      await until("the end of its output", () => (session.stdout as Readable).readableEnded);
      assert.match(seen, /\/dev\/pts\/|\/dev\/console/);
      await bed.driver.remove(plan);
    });

    it("follows the log over rotations, and ends when the guest does", async () => {
      const driver = bed.anotherDriver({ log: { maxBytes: 8192, keep: 9 } });
      const plan = bed.plan("talks", {
        command: [
          "sh",
          "-c",
          "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); [ $((i % 1000)) -ne 0 ] || sleep 0.1; done; echo over",
        ],
      });
      await driver.prepare(plan, () => undefined);
      await driver.start(plan);
      const all = `${Array.from({ length: 4000 }, (_, i) => `line ${i}\n`).join("")}over\n`;
      const read = async (options: { follow: boolean; tailLines?: number }): Promise<string> => {
        let seen = "";
        for await (const piece of driver.logs(plan, { ...options, signal: AbortSignal.timeout(10_000) }))
          seen += Buffer.from(piece).toString();
        return seen;
      };
      assert.equal(await read({ follow: true }), all);
      assert.ok(existsSync(join(plan.directory, "log.2")), readdirSync(plan.directory).join(" "));
      assert.equal(await read({ follow: false }), all);
      assert.equal(await read({ follow: false, tailLines: 3000 }), all.split("\n").slice(-3001).join("\n"));
      await driver.remove(plan);
    });

    it("survives the death of its supervisor", async () => {
      const plan = await bed.run("orphan", ["sleep", "1000"]);
      process.kill(Number(readFileSync(join(plan.directory, "supervisor"), "utf8")), "SIGKILL");
      assert.equal((await bed.driver.observe(plan)).kind, "running");
      await bed.driver.stop(plan, 10);
      assert.equal((await bed.driver.observe(plan)).kind, "exited");
      await bed.driver.remove(plan);
    });

    it("survives kill -9 of the process that started it, and its exit is still known", async () => {
      const plan = bed.plan("outlives", { command: ["sh", "-c", "echo up; read x </go; echo late; exit 9"] });
      const code = `
      const { createOciDriver } = await import(${JSON.stringify(new URL("../../src/guests/oci.ts", import.meta.url).href)});
      const { ImageStore } = await import(${JSON.stringify(new URL("../../src/images/store.ts", import.meta.url).href)});
      const driver = createOciDriver({ directory: ${JSON.stringify(join(bed.directory, "oci"))}, images: new ImageStore({ directory: ${JSON.stringify(join(bed.directory, "images"))} }), cgroupParent: ${JSON.stringify(bed.parent)} });
      const plan = ${JSON.stringify(plan)};
      await driver.prepare(plan, () => {});
      (await import("node:child_process")).execFileSync("mkfifo", [plan.directory + "/upper/go"]);
      await driver.start(plan);
      process.kill(process.pid, "SIGKILL");`;
      const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: "inherit" });
      assert.equal(await new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal))), "SIGKILL");
      const driver = bed.anotherDriver();
      const status = await driver.observe(plan);
      assert.equal(status.kind, "running");
      const exit = driver.waitExit(plan, AbortSignal.timeout(10_000));
      if (status.kind === "running") writeFileSync(`/proc/${status.pid}/root/go`, "\n");
      const { code: left, lastLines } = await exit;
      assert.deepEqual([left, lastLines], [9, ["up", "late"]]);
      await bed.driver.remove(plan);
    });

    it("leaves no process after remove, not even one that forked twice and left its session", async () => {
      const plan = await bed.run(
        "forks",
        [
          "sh",
          "-c",
          "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1000; done' &) ; for i in 1 2 3 4 5 6 7 8; do (setsid sleep 1000 &); done; echo forked; exec sleep 1000",
        ],
        { pids: 60 },
      );
      await until("they run", () => bed.log(plan).includes("forked") && cgroupProcesses(bed.cgroups, `${bed.parent}/forks`).length >= 10);
      const pids = cgroupProcesses(bed.cgroups, `${bed.parent}/forks`);
      await bed.driver.remove(plan);
      assert.deepEqual(
        pids.filter((pid) => existsSync(`/proc/${pid}/exe`)),
        [],
      );
      assert.deepEqual(bed.traces().cgroups, []);
      assert.equal(existsSync(plan.directory), false);
      await bed.driver.remove(plan);
    });

    it("removes a tree deeper than a path may be long, and does not follow links out of it", async () => {
      const outside = join(bed.directory, "precious");
      writeFileSync(outside, "keep");
      const plan = await bed.run("deep", [
        "sh",
        "-c",
        `ln -s ${bed.directory} /out; d=$(printf 'd%.0s' $(seq 200)); i=0; while [ $i -lt 30 ]; do mkdir $d && cd -P $d || exit 1; i=$((i+1)); done; exit 0`,
      ]);
      assert.equal((await bed.exit(plan)).code, 0);
      await bed.driver.remove(plan);
      assert.equal(existsSync(plan.directory), false);
      assert.equal(readFileSync(outside, "utf8"), "keep");
    });

    it("lists what carries our mark", async () => {
      const plan = await bed.run("marked", ["sleep", "1000"]);
      assert.deepEqual(await bed.driver.list(), ["marked"]);
      await bed.driver.remove(plan);
      assert.deepEqual(await bed.driver.list(), []);
    });

    it("leaks nothing over fifty guests", { timeout: 120_000 }, async () => {
      const cycle = async (n: number): Promise<void> => {
        const plan = await bed.run(`cycle-${n}`, ["sleep", "1000"], { mem: 32, pids: 20 });
        await bed.driver.remove(plan);
      };
      await cycle(0);
      const beforeAll = bed.traces();
      for (let n = 1; n <= 50; n++) await cycle(n);
      assert.deepEqual(bed.traces(), beforeAll);
      assert.deepEqual(readdirSync(join(bed.directory, "guests")), []);
      assert.deepEqual(readdirSync(join(bed.directory, "oci")), ["runtime.json"]);
      assert.deepEqual(readdirSync(join(bed.directory, "images", "holds")), []);
    });
  });
