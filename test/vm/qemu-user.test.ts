import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { VmPlan } from "../../src/guests/qemu-plan.ts";
import { machineUsers } from "../../src/base/machine-users.ts";
import { buildMiniVm } from "../../src/images/vm-mini.ts";
import { testMini } from "../../scripts/test-mini.ts";
import { until } from "../kernel/world/until.ts";
import { QemuBed } from "./qemu-bed.ts";

describe("whom QEMU runs as", () => {
  let bed: QemuBed;
  let web: VmPlan;
  before(async () => {
    bed = new QemuBed();
    web = bed.plan("web", { env: { SECRET: "of-web" } });
    await bed.boot(web);
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  const running = async (plan: VmPlan) => {
    const status = await bed.driver.observe(plan);
    return status.kind === "running" ? status : assert.fail(status.kind);
  };
  /** What the host says of each thread. */
  const threadsOf = (pid: number) =>
    readdirSync(`/proc/${pid}/task`).map((id) => {
      const status = readFileSync(`/proc/${pid}/task/${id}/status`, "utf8");
      const of = (key: string) => new RegExp(`^${key}:[\t ]*(.*?)[\t ]*$`, "m").exec(status)?.[1] ?? "none";
      return ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"].map((key) => of(key));
    });
  const openIn = (pid: number) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  const none = "0000000000000000";
  const four = (id: number) => Array(4).fill(id).join("\t");
  const unprivileged = (uid: number, caps = none) => [four(uid), four(uid), "", caps, caps, caps, caps, caps, "1", "2"];
  const at = (name: string) => join(bed.directory, name);

  it("as a user of its own without any right, each thread of it; two machines as two users", async () => {
    const { pid, user } = await running(web);
    assert.deepEqual(user, { uid: machineUsers.first });
    const threads = threadsOf(pid);
    assert.ok(threads.length > 1);
    for (const thread of threads) assert.deepEqual(thread, unprivileged(machineUsers.first));
    const other = bed.plan("other");
    await bed.boot(other);
    const second = await running(other);
    assert.deepEqual(second.user, { uid: machineUsers.first + 1 });
    assert.deepEqual(threadsOf(second.pid)[0], unprivileged(machineUsers.first + 1));
    assert.equal((await bed.shell(web, "echo $SECRET")).out, "of-web\n");
  });

  it("has open, of files, its own and what all may read; and may open nothing else", async () => {
    const { pid } = await running(web);
    const foreign = openIn(pid).filter((path) => path.startsWith("/") && !/^\/(dev|proc|usr)\//.test(path) && !path.startsWith(testMini));
    assert.deepEqual([...new Set(foreign)].toSorted(), [
      `${web.directory}/copy (deleted)`,
      `${web.directory}/log`,
      `${web.directory}/qemu.log`,
    ]);
    assert.deepEqual(
      readdirSync(web.directory).filter((name) => name.startsWith("copy")),
      [],
    );
    const asIt = (...command: string[]) =>
      execFileSync("setpriv", [`--reuid=${machineUsers.first}`, `--regid=${machineUsers.first}`, "--clear-groups", ...command], {
        stdio: "pipe",
      });
    for (const path of [join(web.directory, "log"), join(bed.directory, "guests/other/monitor.sock"), "/etc/shadow"])
      assert.throws(() => asIt("cat", path), /Permission denied/);
    assert.throws(() => asIt("kill", "-0", String(process.pid)), /not permitted/i);
  });

  it("keeps its user when it is started again, also by another daemon", async () => {
    assert.equal(await bed.driver.stop(web, 20_000), "graceful");
    assert.equal(readFileSync(join(web.directory, "qemu.log"), "utf8"), "", "QEMU complains");
    const driver = bed.anotherDriver();
    await driver.start(web);
    await bed.ready(web, driver);
    assert.deepEqual((await running(web)).user, { uid: machineUsers.first });
  });

  it("boots a kernel and disks that only root may open, layers among them, and takes and loses more of them", async () => {
    const mini = await buildMiniVm({ directory: testMini });
    const secret = (name: string, from: string) => {
      copyFileSync(from, at(name));
      chmodSync(at(name), 0o600);
      return at(name);
    };
    mkdirSync(at("private"), { mode: 0o700 });
    const qcow2 = (name: string) => {
      execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", at(name), "16M"]);
      chmodSync(at(name), 0o600);
      return at(name);
    };
    const image = qcow2("private/base.qcow2");
    execFileSync("qemu-io", ["-f", "qcow2", "-c", "write -P 0x61 0 4k", image]);
    const before = readFileSync(image);
    const data = { name: "data" as never, source: qcow2("private/data.qcow2"), format: "qcow2" as const, readOnly: false };
    const raw = { name: "raw" as never, source: at("private/raw"), format: "raw" as const, readOnly: true };
    writeFileSync(raw.source, Buffer.alloc(1 << 20, "r"), { mode: 0o600 });
    const plan = bed.plan("layered", {
      image,
      kernel: secret("private/kernel", mini.kernel.path),
      initrd: secret("private/initrd", mini.kernel.initrd),
      cmdline: mini.kernel.cmdline,
      disks: [data],
    });
    await bed.boot(plan);
    const disk = (serial: string) => `$(for d in /sys/block/vd*; do [ "$(cat $d/serial)" != ${serial} ] || echo /dev/\${d##*/}; done)`;
    const shell = async (line: string) => (await bed.shell(plan, line)).out;
    const there = (serial: string) => `i=0; until [ -e "${disk(serial)}" ] || [ $i -gt 300 ]; do sleep 0.1; i=$((i+1)); done; `;
    assert.equal(
      await shell(
        `${there("root")}head -c 3 ${disk("root")}; printf xyz | dd of=${disk("root")} conv=fsync 2>/dev/null; head -c 3 ${disk("root")}`,
      ),
      "aaaxyz",
    );
    assert.ok(readFileSync(image).equals(before), "the image itself was written to");
    await shell(`${there("data")}printf kept | dd of=${disk("data")} conv=fsync 2>/dev/null`);
    await bed.driver.addDisk(plan, raw);
    assert.equal(await shell(`${there("raw")}head -c 3 ${disk("raw")}`), "rrr");
    await bed.driver.removeDisk(plan, "raw");
    await bed.driver.removeDisk(plan, "data");
    // Nobody holds it any more: another machine may write to it.
    await bed.driver.addDisk(web, data);
    assert.equal((await bed.shell(web, `${there("data")}head -c 4 ${disk("data")}`)).out, "kept");
    await assert.rejects(bed.driver.addDisk(plan, data), /lock/, "two machines write to one disk");
    await bed.driver.removeDisk(web, "data");
    await bed.driver.addDisk(plan, data);
    assert.equal(await shell(`${there("data")}head -c 4 ${disk("data")}`), "kept");
    const { pid } = await running(plan);
    assert.equal(openIn(pid).includes(raw.source), false, "a disk that went is still open");
    assert.equal(await bed.driver.stop(plan, 20_000), "graceful");
    await bed.driver.start(plan);
    await bed.ready(plan);
    assert.equal(await shell(`${there("root")}head -c 3 ${disk("root")}`), "xyz");
  });

  it("has the right to listen below port 1024 when it is to, and no other", async () => {
    const plan = bed.plan("low", { publish: [{ hostPort: 85, guestPort: 80, hostAddress: "127.0.0.1" }] });
    await bed.boot(plan);
    const { pid, user } = await running(plan);
    assert.deepEqual(threadsOf(pid)[0], unprivileged(user?.uid ?? 0, "0000000000000400"));
    await bed.shell(plan, "mkdir -p /srv && echo welcome >/srv/index.html && httpd -h /srv -p 80");
    assert.equal(await (await fetch("http://127.0.0.1:85/", { signal: AbortSignal.timeout(10_000) })).text(), "welcome\n");
  });

  it("a machine that an earlier version started as root is adopted as it is, and ended", async () => {
    const plan = bed.plan("earlier");
    await bed.driver.prepare(plan, () => undefined);
    const file = (name: string) => join(plan.directory, name);
    const monitor = ["-chardev", "socket,id=monitor,path=monitor.sock,server=on,wait=off", "-mon", "chardev=monitor,mode=control"];
    const words = ["-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-pidfile", file("qemu.pid"), ...monitor];
    writeFileSync(file("started.json"), JSON.stringify({ accel: { kind: "tcg", why: "emulation was asked for" }, taps: {} }));
    const qemu = spawn("qemu-system-x86_64", words, { cwd: plan.directory, stdio: "ignore" });
    await until("it has begun", () => existsSync(file("qemu.pid")));
    const { pid, user } = await running(plan);
    assert.deepEqual([pid, user], [qemu.pid, { uid: 0, why: "an earlier version started it" }]);
    assert.equal(await bed.driver.stop(plan, 0), "forced");
    await bed.driver.start(plan);
    assert.ok(((await running(plan)).user?.uid ?? 0) >= machineUsers.first);
  });

  it("is not root with directories of the host by virtiofs; with 9p it still is, and says why", async () => {
    const shares = [{ name: "src", source: bed.directory }];
    const plan = bed.plan("sharing", { shares });
    await bed.boot(plan);
    assert.ok(((await running(plan)).user?.uid ?? 0) >= machineUsers.first);
    writeFileSync(join(bed.directory, "word"), "shared\n");
    const mounted = await bed.shell(
      plan,
      "while ! grep -qw virtiofs /proc/filesystems; do sleep 0.1; done; mount -t virtiofs src /mnt && cat /mnt/word",
    );
    assert.equal(mounted.out, "shared\n", mounted.err);

    const { kernel } = JSON.parse(readFileSync(join(plan.directory, "vm-image.json"), "utf8")) as {
      kernel: { path: string; initrd: string };
    };
    const old = bed.plan("by-9p", { shares, kernel: kernel.path, initrd: kernel.initrd });
    const driver = bed.anotherDriver({ virtiofsd: "/none" });
    await driver.prepare(old, () => undefined);
    await driver.start(old);
    const { pid, user } = await running(old);
    assert.deepEqual(user, { uid: 0, why: "it has the host's directories by 9p, which QEMU reads and writes itself" });
    assert.equal(threadsOf(pid)[0]?.[0], four(0));
  });
});
