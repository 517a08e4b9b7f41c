import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../../src/base/errors.ts";
import { readGuestFile, writeGuestFile } from "../../src/guests/qga-files.ts";
import type { VmPlan } from "../../src/guests/qemu-plan.ts";
import { until } from "../kernel/oci-bed.ts";
import { QemuBed } from "./qemu-bed.ts";

describe("a mini virtual machine in user mode", () => {
  let bed: QemuBed;
  let plan: VmPlan;
  before(async () => {
    bed = new QemuBed();
    plan = bed.plan("web", { env: { GREETING: "it's here" }, publish: [{ hostPort: 8088, guestPort: 80, hostAddress: "127.0.0.1" }] });
    await bed.boot(plan);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it("says that it runs, how, and where its SSH is", async () => {
    const status = await bed.driver.observe(plan);
    assert.equal(status.kind, "running");
    if (status.kind !== "running") return;
    assert.deepEqual([status.run, status.agent, status.sshPort], ["running", true, 2222]);
    assert.ok(status.accel.why.length > 5);
    assert.ok(Math.abs(Date.parse(status.startedAt) - Date.now()) < 120_000);
    assert.ok(bed.holds.has("web"));
  });

  it("filters QEMU's system calls, in every one of its threads", async () => {
    const status = await bed.driver.observe(plan);
    const pid = status.kind === "running" ? status.pid : assert.fail(status.kind);
    const threads = readdirSync(`/proc/${pid}/task`).map((id) => readFileSync(`/proc/${pid}/task/${id}/status`, "utf8"));
    assert.ok(threads.length > 1);
    for (const thread of threads) assert.match(thread, /^NoNewPrivs:\t1$[^]*^Seccomp:\t2$/m);
  });

  it("starting twice is starting once", async () => {
    const first = await bed.driver.observe(plan);
    assert.deepEqual(await bed.driver.start(plan), first);
  });

  it("runs commands with input, both outputs, environment and exit code", async () => {
    assert.deepEqual(await bed.shell(plan, "hostname; echo $GREETING; cat; echo bad >&2; exit 7", "given\n"), {
      out: "web\nit's here\ngiven\n",
      err: "bad\n",
      code: 7,
    });
    const absent = await bed.driver.exec(plan, { command: ["/no/such/program"], env: {} });
    assert.equal(await absent.exitCode, 127);
    const elsewhere = await bed.driver.exec(plan, { command: ["sh", "-c", "pwd; echo $A"], env: { A: "x y" }, cwd: "/etc" });
    let out = "";
    for await (const piece of elsewhere.stdout) out += piece.toString();
    assert.equal(out, "/etc\nx y\n");
  });

  it("has its files written, listed, read, renamed and removed through its agent", async () => {
    const files = bed.driver.files(plan);
    const bytes = randomBytes(700_000);
    await files.makeDirectory("/root/it's $(here)/deep", 0o750);
    const at = (name: string) => `/root/it's $(here)/deep/${name}`;
    await files.write(at("b"), { bytes, how: "create", mode: 0o640, sync: true });
    const { file, chunks } = await files.read(at("b"), { offset: 0 });
    assert.deepEqual([file.kind, file.sizeBytes, file.mode], ["file", 700_000, 0o640]);
    assert.ok((await buffer(chunks)).equals(bytes));
    await files.write(at("b"), { bytes: Buffer.from("short"), how: "replace", sync: false });
    await files.write(at("b"), { bytes: Buffer.from(" more"), how: "append", sync: false });
    assert.deepEqual(
      await bed.shell(plan, "cd /root/it*/deep && cat b && ls -a && mkfifo pipe && ln -s b link && touch 'new\nline' .hidden"),
      {
        out: "short more.\n..\nb\n",
        err: "",
        code: 0,
      },
    );
    const { entries } = await files.list(at(""), 100);
    assert.deepEqual(
      entries.map(({ name, kind }) => `${name} ${kind}`),
      [".hidden file", "b file", "link link", "new\nline file", "pipe pipe"],
    );
    await assert.rejects(files.read(at("pipe"), { offset: 0 }), (error: NexusError) => error.code === "unsupported");
    await files.rename(at("b"), at("c"), { replace: false, follow: false });
    await files.remove("/root/it's $(here)", { recursive: true });
    await assert.rejects(files.stat(at("c")), (error: NexusError) => error.code === "not-found");
    await assert.rejects(files.remove("/no/such", { recursive: false }), (error: NexusError) => error.code === "not-found");
  });

  it("runs a command whose input ends at once, every time", async () => {
    for (let i = 0; i < 15; i++) assert.deepEqual(await bed.shell(plan, "echo out; exit 3"), { out: "out\n", err: "", code: 3 });
  });

  it("streams: output comes while the command runs, and more than its queue holds comes whole", async () => {
    const session = await bed.driver.exec(plan, { command: ["sh", "-c", "echo first; cat >/dev/null; echo last"], env: {} });
    const pieces = session.stdout[Symbol.asyncIterator]();
    assert.equal(String((await pieces.next()).value), "first\n");
    session.stdin.end();
    assert.equal(String((await pieces.next()).value), "last\n");
    assert.equal(await session.exitCode, 0);
    const fed = await bed.shell(plan, "sleep 1; md5sum", "0123456789".repeat(20_000));
    assert.match(fed.out, new RegExp(`^${createHash("md5").update("0123456789".repeat(20_000)).digest("hex")} `));
    const { out } = await bed.shell(plan, "head -c 2000000 /dev/zero | tr '\\0' x");
    assert.equal(out.length, 2_000_000);
    assert.equal((await bed.shell(plan, "ls -d /tmp/.nexus-exec-* | wc -l")).out, "1\n", "an exec leaves something behind");
  });

  it("runs many commands at once and one after the other, each to its own end", async () => {
    const one = (n: number) => bed.shell(plan, `echo ${n}; exit ${n}`);
    const numbers = Array.from({ length: 8 }, (_, n) => n);
    const together = await Promise.all(numbers.map(one));
    const after = [];
    for (const n of numbers) after.push(await one(n));
    for (const all of [together, after])
      assert.deepEqual(
        all,
        numbers.map((n) => ({ out: `${n}\n`, err: "", code: n })),
      );
  });

  it("does not wait for what a command leaves behind with its output", async () => {
    // It used to take thirteen seconds; a busy machine makes one of them slow, not all.
    const took: number[] = [];
    while (took.length < 5 && Math.min(...took, Number.POSITIVE_INFINITY) > 2500) {
      const began = performance.now();
      assert.deepEqual(await bed.shell(plan, "sleep 300 & echo out; exit 3"), { out: "out\n", err: "", code: 3 });
      took.push(performance.now() - began);
    }
    assert.ok(Math.min(...took) < 5000, `${took.map(Math.round).join(", ")} ms`);
    assert.equal((await bed.shell(plan, "killall sleep")).code, 0);
  });

  it("ends a command by a signal", async () => {
    const session = await bed.driver.exec(plan, { command: ["sleep", "1000"], env: {} });
    session.kill("SIGTERM");
    assert.equal(await session.exitCode, 143);
  });

  it("reads and writes files, with every byte there is", async () => {
    using agent = await bed.driver.agent(plan, { timeoutMs: 5000 });
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255);
    await writeGuestFile(agent.value, "/root/data", bytes);
    const read = await readGuestFile(agent.value, "/root/data", { maxBytes: 1_000_000 });
    assert.deepEqual([Buffer.compare(read.bytes, bytes), read.end], [0, true]);
    const part = await readGuestFile(agent.value, "/root/data", { maxBytes: 10, offset: 256 });
    assert.deepEqual([Buffer.compare(part.bytes, bytes.subarray(256, 266)), part.end], [0, false]);
    await assert.rejects(readGuestFile(agent.value, "/no/such", { maxBytes: 1 }), refusedWith("not-found", /no\/such/));
  });

  it("has an address and carries published ports", async () => {
    using agent = await bed.driver.agent(plan, { timeoutMs: 5000 });
    let addresses: string[] = [];
    for (const end = performance.now() + 20_000; performance.now() < end && !addresses.includes("10.0.2.15"); await delay(50))
      addresses = (await agent.value.interfaces()).flatMap((card) => card.addresses.map((one) => one.address));
    assert.ok(addresses.includes("10.0.2.15"), addresses.join());
    await bed.shell(plan, "mkdir -p /srv && echo welcome >/srv/index.html && httpd -h /srv -p 80");
    const answer = await fetch("http://127.0.0.1:8088/", { signal: AbortSignal.timeout(10_000) });
    assert.equal(await answer.text(), "welcome\n");
  });

  it("has a console that one can join at a time, and a log of all it said", async () => {
    using console = await bed.driver.console(plan);
    await assert.rejects(bed.driver.console(plan), refusedWith("in-use", /console/));
    console.input.write("echo on-the-$((40+2))\n");
    let seen = "";
    for await (const piece of console.output) {
      seen += piece.toString();
      if (seen.includes("on-the-42")) break;
    }
    await until("it is in the log too", () => readFileSync(join(plan.directory, "log"), "utf8").includes("on-the-42"));
  });

  it("gives memory back and takes it again", async () => {
    assert.equal((await bed.driver.setBalloon(plan, 96 << 20)).actualBytes, 96 << 20);
    assert.equal((await bed.driver.setBalloon(plan, 128 << 20)).actualBytes, 128 << 20);
  });

  it("takes a disk while it runs, and lets it go", async () => {
    const source = join(bed.directory, "data.qcow2");
    const disk = { name: "data" as never, source, format: "qcow2" as const, readOnly: false };
    await assert.rejects(bed.driver.addDisk(plan, disk), refusedWith("image-missing", /data\.qcow2/));
    await run("qemu-img", ["create", "-q", "-f", "qcow2", source, "16M"]);
    await bed.driver.addDisk(plan, disk);
    const found = await bed.shell(
      plan,
      "i=0; while [ $i -lt 300 ] && [ ! -e /sys/block/vda/serial ]; do sleep 0.1; i=$((i+1)); done; cat /sys/block/vda/serial /sys/block/vda/size",
    );
    assert.deepEqual(found, { out: "data32768\n", err: "", code: 0 });
    await bed.driver.removeDisk(plan, "data");
    assert.equal((await bed.shell(plan, "ls /sys/block | grep -c vda")).out, "0\n");
  });

  it("is taken over by another process after its starter was killed, and powers off when asked", async () => {
    const script = `
      import { createQemuDriver } from ${JSON.stringify(join(import.meta.dirname, "../../src/guests/qemu.ts"))};
      const { options, plan } = JSON.parse(process.argv[1]);
      const images = { resolve: async () => options.image, hold() {}, release() {} };
      const driver = createQemuDriver({ ...options, images });
      await driver.prepare(plan, () => undefined);
      await driver.start(plan);
      process.kill(process.pid, "SIGKILL");
    `;
    const other = bed.plan("orphan");
    const image = JSON.parse(readFileSync(join(plan.directory, "vm-image.json"), "utf8")) as unknown;
    const { directory } = bed.options();
    const starter = spawn(
      process.execPath,
      ["--input-type=module", "-e", script, JSON.stringify({ options: { directory, image }, plan: other })],
      { stdio: "inherit" },
    );
    await new Promise((resolve) => starter.once("close", resolve));
    assert.equal(starter.signalCode, "SIGKILL");
    const driver = bed.anotherDriver();
    const status = await driver.observe(other);
    assert.equal(status.kind, "running");
    if (status.kind !== "running") return;
    assert.equal(status.sshPort, 2223, "the first port free after the other guest's");
    await bed.ready(other, driver);
    const ended = driver.waitExit(other, AbortSignal.timeout(30_000));
    assert.equal(await driver.stop(other, 20_000), "graceful");
    const exit = await ended;
    assert.deepEqual([exit.code, exit.signal], [0, undefined]);
    assert.deepEqual(await driver.observe(other), { kind: "exited", exit });
    assert.equal(await driver.stop(other, 1000), "not-running");
  });

  it("is reported with its last console lines when it is killed, and leaves nothing when removed", async () => {
    const before = bed.descriptors();
    const status = await bed.driver.observe(plan);
    assert.equal(status.kind, "running");
    if (status.kind !== "running") return;
    process.kill(status.pid, "SIGKILL");
    const exit = await bed.driver.waitExit(plan, AbortSignal.timeout(10_000));
    assert.deepEqual([exit.code, exit.signal], [137, "SIGKILL"]);
    assert.ok(
      exit.lastLines.some((line) => line.includes("on-the-42")),
      exit.lastLines.join("\n"),
    );
    await assert.rejects(bed.driver.exec(plan, { command: ["true"], env: {} }), refusedWith("wrong-state", /not run|ended/));
    await bed.driver.remove(plan);
    assert.deepEqual(
      [existsSync(plan.directory), bed.holds.has("web"), await bed.driver.observe(plan)],
      [false, false, { kind: "absent" }],
    );
    assert.ok(bed.descriptors() <= before);
  });
});

function refusedWith(code: string, words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof NexusError && error.code === code && words.test(error.message);
}

function run(program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    spawn(program, args, { stdio: "inherit" }).once("close", (code) => (code === 0 ? resolve() : reject(new Error(`${program}: ${code}`))));
  });
}
