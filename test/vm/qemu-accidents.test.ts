import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { chmodSync, copyFileSync, existsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { bootTrial, chooseAcceleration, trialRom } from "../../src/guests/qemu-accel.ts";
import { trialQemuUser } from "../../src/guests/qemu-user.ts";
import { QemuBed } from "./qemu-bed.ts";

describe("virtual machines and what goes wrong", () => {
  let bed: QemuBed;
  before(() => {
    bed = new QemuBed();
    // What stands in for QEMU is run by another user than this one.
    chmodSync(bed.directory, 0o711);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });
  const script = (name: string, text: string) => {
    const path = join(bed.directory, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  it("QEMU that is missing, broken or too old is said to be so, with what to install", async () => {
    const plan = bed.plan("noqemu");
    const driverWith = (path: string) => bed.anotherDriver({ qemu: { path, imageTool: "/usr/bin/qemu-img" } });
    await assert.rejects(
      driverWith("/no/such/qemu").prepare(plan, () => undefined),
      refusedWith("runtime-missing", /no\/such\/qemu is not there/),
    );
    const old = driverWith(script("old", 'echo "QEMU emulator version 4.2.1"'));
    await assert.rejects(
      old.prepare(plan, () => undefined),
      refusedWith("runtime-missing", /QEMU 4\.2.*7\.2 or newer/),
    );
    const broken = driverWith(script("broken", "echo lost a library >&2; exit 127"));
    await assert.rejects(broken.probe(), refusedWith("runtime-missing", /lost a library/));
    assert.deepEqual(await bed.driver.observe(plan), { kind: "absent" });
  });

  it("a QEMU that refuses is quoted, and nothing is left running", async () => {
    const refusing = script(
      "refusing",
      'case "$*" in *--version*) echo "QEMU emulator version 7.2.0" ;; *) echo "qemu-system-x86_64: no such luck" >&2; exit 1 ;; esac',
    );
    const driver = bed.anotherDriver({ qemu: { path: refusing, imageTool: "/usr/bin/qemu-img" } });
    const plan = bed.plan("refused", { accel: "tcg" });
    await driver.prepare(plan, () => undefined);
    await assert.rejects(driver.start(plan), refusedWith("runtime-failed", /status 1: no such luck/));
    assert.deepEqual(await driver.observe(plan), { kind: "absent" });
    const hanging = bed.anotherDriver({
      qemu: {
        path: script(
          "hanging",
          'case "$*" in *--version*) echo "QEMU emulator version 7.2.0" ;; "-M none "*) exit 1 ;; *) exec sleep 1000 ;; esac',
        ),
      },
    });
    const slow = bed.plan("slow", { accel: "tcg" });
    await hanging.prepare(slow, () => undefined);
    const impatient = bed.anotherDriver({ qemu: { path: join(bed.directory, "hanging") }, startDeadlineMs: 300 });
    await assert.rejects(impatient.start(slow), refusedWith("timeout", /within 300 ms/));
    assert.equal(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).includes(slow.directory), false);
  });

  it("a QEMU that cannot filter its system calls runs guests all the same, and says why it cannot", async () => {
    const without = script(
      "without",
      'case "$*" in *-sandbox*) echo "qemu: -sandbox: not built in" >&2; exit 1 ;; esac; exec qemu-system-x86_64 "$@"',
    );
    const driver = bed.anotherDriver({ qemu: { path: without } });
    assert.deepEqual((await driver.probe()).program.sandbox, { kind: "off", why: "qemu: -sandbox: not built in" });
    assert.equal((await bed.driver.probe()).program.sandbox.kind, "on");
    const plan = bed.plan("unfiltered");
    await driver.prepare(plan, () => undefined);
    assert.equal((await driver.start(plan)).kind, "running");
  });

  it("corrupt, truncated, layered and missing disks are refused before anything starts", async () => {
    const disk = join(bed.directory, "base.qcow2");
    const refuses = async (name: string, words: RegExp) => {
      await assert.rejects(
        bed.driver.prepare(bed.plan(name, { image: disk }), () => undefined),
        refusedWith("image-missing", words),
      );
    };
    await refuses("absent", /there is no .*base\.qcow2/);
    writeFileSync(disk, Buffer.alloc(65_536, 7));
    await refuses("corrupt", /not in qcow2 format/);
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", disk, "64M"]);
    truncateSync(disk, 40);
    await refuses("truncated", /cannot read disk/);
    execFileSync("qemu-img", ["create", "-q", "-f", "raw", join(bed.directory, "secret"), "1M"]);
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", join(bed.directory, "secret"), disk]);
    await refuses("layered", /layer over .*secret.*a disk must be whole/);
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", disk, "64M"]);
    const small = bed.plan("small", { image: disk, disk: "1M" });
    await assert.rejects(
      bed.driver.prepare(small, () => undefined),
      refusedWith("wrong-state", /cannot have 1048576 bytes/),
    );
    const fine = bed.plan("fine", { image: disk, disk: "128M" });
    await bed.driver.prepare(fine, () => undefined);
    await bed.driver.prepare(fine, () => undefined);
    const info = JSON.parse(
      execFileSync("qemu-img", ["info", "--output=json", join(fine.directory, "disk.qcow2")], { encoding: "utf8" }),
    ) as Record<string, unknown>;
    assert.deepEqual([info["virtual-size"], info["backing-filename"], info["backing-filename-format"]], [128 << 20, disk, "qcow2"]);
  });

  it("a disk whose header changes after it was looked at reaches no other file of the host", async () => {
    const at = (name: string) => join(bed.directory, name);
    const make = (...words: string[]) => execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", ...words]);
    writeFileSync(at("host-secret"), Buffer.alloc(65_536, "secret"));
    // As far as QEMU's user goes, it may.
    chmodSync(at("host-secret"), 0o666);
    make(at("whole"), "64K");
    make("-b", at("host-secret"), "-F", "raw", at("layer"));
    make("-o", `data_file=${at("host-secret")},data_file_raw=on`, at("elsewhere"), "64K");
    const examineThenBecome = (other: string) =>
      bed.anotherDriver({
        qemu: { imageTool: script(`becomes-${other}`, `qemu-img "$@" && case "$*" in info*/data) cp ${at(other)} ${at("data")} ;; esac`) },
      });
    const reset = () => copyFileSync(at("whole"), at("data"));
    const disk = { name: "data" as never, source: at("data"), format: "qcow2" as const, readOnly: false };
    const plan = bed.plan("changed", { disks: [disk] });
    reset();
    await bed.driver.prepare(plan, () => undefined);
    await assert.rejects(examineThenBecome("elsewhere").start(plan), refusedWith("image-missing", /keeps its data in .*host-secret/));
    assert.deepEqual(await bed.driver.observe(plan), { kind: "absent" });
    reset();
    await examineThenBecome("layer").start(plan);
    await bed.ready(plan);
    const counts = async (device: string) =>
      (await bed.shell(plan, `i=0; until [ -e ${device} ] || [ $i -gt 300 ]; do sleep 0.1; i=$((i+1)); done; grep -c secret ${device}`))
        .out;
    assert.equal(await counts("/dev/vda"), "0\n", "its guest reads what its header named");
    await bed.driver.removeDisk(plan, "data");
    reset();
    await assert.rejects(
      examineThenBecome("elsewhere").addDisk(plan, disk),
      refusedWith("image-missing", /keeps its data in .*host-secret/),
    );
    chmodSync(at("host-secret"), 0o600);
    reset();
    await assert.rejects(
      examineThenBecome("elsewhere").addDisk(plan, disk),
      refusedWith("runtime-failed", /host-secret.*Permission denied/),
    );
    reset();
    await examineThenBecome("layer").addDisk(plan, disk);
    assert.equal(await counts("/dev/vda"), "0\n");
  });

  it("a port that is taken is named when it was asked for", async () => {
    const server = createServer().listen(8089, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const plan = bed.plan("taken", { publish: [{ hostPort: 8089, guestPort: 80, hostAddress: "127.0.0.1" }] });
      await bed.driver.prepare(plan, () => undefined);
      await assert.rejects(bed.driver.start(plan), refusedWith("port-taken", /8089/));
      const ssh = bed.plan("taken-ssh", { sshPort: 8089 });
      await bed.driver.prepare(ssh, () => undefined);
      await assert.rejects(bed.driver.start(ssh), refusedWith("port-taken", /8089 for SSH/));
    } finally {
      server.close();
    }
  });

  it("KVM is believed only after a trial guest ran; the trial itself is sound", async () => {
    const rom = join(bed.directory, "rom");
    writeFileSync(rom, trialRom());
    assert.deepEqual(await bootTrial("/usr/bin/qemu-system-x86_64", rom, { accel: "tcg" }), { kind: "kvm", why: "a trial guest ran" });
    writeFileSync(rom, trialRom().fill(0xf4, 0xff00, 0xff10));
    assert.match((await bootTrial("/usr/bin/qemu-system-x86_64", rom, { accel: "tcg" })).why, /hung for 2 seconds/);
    const place = {
      directory: join(bed.directory, "accel"),
      program: "/usr/bin/qemu-system-x86_64",
      device: join(bed.directory, "nokvm"),
      user: trialQemuUser(),
    };
    assert.match((await chooseAcceleration(place, "auto")).why, /there is no .*nokvm/);
    assert.ok(existsSync(join(place.directory, "accel.json")), "the answer is kept for as long as the host is up");
    await assert.rejects(chooseAcceleration(place, "kvm"), refusedWith("unsupported", /KVM does not work/));
    assert.equal((await chooseAcceleration(place, "tcg")).kind, "tcg");
  });

  it("a guest that panics is exited with status 1 and its last words; one that hangs is stopped by force", async () => {
    const plan = bed.plan("panics");
    await bed.boot(plan);
    const ended = bed.driver.waitExit(plan, AbortSignal.timeout(60_000));
    // Its shell may be answered first, or lose its guest; that it was never run would be another failure.
    await bed
      .shell(plan, "sleep 0.5 && echo c >/proc/sysrq-trigger &")
      .catch((error: unknown) => assert.ok(refusedWith("wrong-state", /the guest has ended/)(error as Error), String(error)));
    const exit = await ended;
    assert.equal(exit.code, 1, exit.lastLines.join("\n"));
    assert.ok(
      exit.lastLines.some((line) => /Kernel panic/.test(line)),
      exit.lastLines.join("\n"),
    );
    await bed.driver.start(plan);
    await bed.ready(plan);
    const status = await bed.driver.observe(plan);
    assert.equal(status.kind, "running");
    if (status.kind !== "running") return;
    process.kill(status.pid, "SIGSTOP");
    assert.equal(await bed.driver.stop(plan, 500), "forced");
    const after = await bed.driver.observe(plan);
    assert.equal(after.kind === "exited" ? after.exit.signal : after.kind, "SIGKILL");
  });
});

function refusedWith(code: string, words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof NexusError && error.code === code && words.test(error.message);
}
