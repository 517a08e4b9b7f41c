import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Name } from "../../src/base/names.ts";
import { listMounts, unmount } from "../../src/kernel/mounts.ts";
import { FacilityBed } from "./facility-bed.ts";

const freeBytes = (path: string) => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

describe("the disk of a facility", { timeout: 300_000 }, () => {
  let bed: FacilityBed;
  before(() => void (bed = new FacilityBed()));
  after(() => bed[Symbol.asyncDispose]());
  const mountOf = (name: string) => listMounts().find(({ target }) => target === join(bed.mounts, name));

  it("belongs to a uid nobody else has, who gets to its files and no further; no device and no set-user-id counts there", async () => {
    await bed.make("work");
    await bed.make("other");
    const { uid, path } = await bed.facilities.inspect("work" as Name);
    const stats = statSync(path);
    assert.deepEqual([stats.uid, stats.gid, stats.mode & 0o777], [uid, uid, 0o700]);
    assert.ok(uid > 0x78000000 && uid <= 0x78000000 + 65_535);
    assert.ok(["nosuid", "nodev"].every((option) => mountOf("work")?.options.includes(option)));
    assert.equal((await bed.sh("work", "echo hello >file && cat file")).said, "hello\n");
    for (const line of ["ls ..", `ls ${bed.workspace("other")}`, "echo x >../x", "mknod d c 1 3", `ls ${bed.directory}/state`])
      assert.notEqual((await bed.sh("work", line)).code, 0, line);
    await bed.remove("other");
  });

  it("ends at its size: who fills it is told ENOSPC, and the host's disk does not notice", async () => {
    const before = freeBytes(bed.directory);
    const { code, said } = await bed.sh("work", "cat /dev/zero >full");
    assert.notEqual(code, 0);
    assert.match(said, /No space left on device/);
    execFileSync("sync", ["-f", bed.workspace("work")]);
    // Others use the host's disk as well; what must not be missing is anything like the 48 MiB.
    assert.ok(before - freeBytes(bed.directory) < 24 * 2 ** 20, "room of the host was taken");
    const { usedBytes = 0, sizeBytes } = await bed.facilities.inspect("work" as Name);
    assert.ok(usedBytes > 30 * 2 ** 20 && usedBytes <= sizeBytes, `${usedBytes} of ${sizeBytes}`);
    // What changed can still be said, for that needs no room there.
    const { leftOut } = await bed.diff("work");
    assert.match(leftOut.find(({ path }) => path === "full")?.why ?? "", /has \d+ bytes, more than/);
    assert.equal((await bed.sh("work", "rm full && echo again >file")).code, 0);
    const inodes = await bed.sh(
      "work",
      `python3 -c '
for i in range(100_000): open(f"n{i}", "w").close()'; rm -f n*; exit 1`,
    );
    assert.match(inodes.said, /No space left on device/);
  });

  it("is there again after a daemon that was killed, and after a reboot", async () => {
    const device = mountOf("work")?.device;
    bed.restart();
    await bed.facilities.inspect("work" as Name);
    assert.equal(mountOf("work")?.device, device, "mounted anew although it was there");
    assert.equal(listMounts().filter(({ target }) => target === join(bed.mounts, "work")).length, 1);
    // A reboot takes the mount and the run directory.
    unmount(join(bed.mounts, "work"));
    bed.restart();
    assert.equal((await bed.facilities.list())[0]?.usedBytes, undefined);
    assert.equal((await bed.sh("work", "cat file")).said, "again\n");
  });

  it("is closed when the daemon ends, whole, unless somebody uses it", async () => {
    await bed.facilities[Symbol.asyncDispose]();
    assert.equal(mountOf("work"), undefined);
    const image = join(bed.directory, "state/facilities/work/disk.img");
    execFileSync("e2fsck", ["-f", "-n", image]);
    const sleeper = join(bed.workspace("work"), "open");
    bed.restart();
    await bed.facilities.withFacility("work" as Name, "run", async () => {
      writeFileSync(sleeper, "x");
      await bed.facilities[Symbol.asyncDispose]();
      assert.equal(readFileSync(sleeper, "utf8"), "x");
    });
  });

  it("is refused when its size does not fit, and nothing is left of it", async () => {
    await assert.rejects(bed.make("huge", { size: "900T" }), { code: "too-large" });
    assert.equal(existsSync(join(bed.directory, "state/facilities/huge")), false);
    assert.deepEqual(
      (await bed.facilities.list()).map(({ name }) => name),
      ["work"],
    );
  });

  it("whose place something else is mounted at is refused, and that is left alone", async () => {
    await bed.facilities[Symbol.asyncDispose]();
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(bed.mounts, "work")]);
    await assert.rejects(bed.facilities.inspect("work" as Name), { code: "in-use" });
    await assert.rejects(bed.remove("work"), { code: "in-use" });
    unmount(join(bed.mounts, "work"));
    assert.equal((await bed.sh("work", "cat file")).said, "again\n");
  });

  it("goes with everything in it, and its loop device with it", async () => {
    const device = mountOf("work")?.source ?? "";
    assert.match(device, /^\/dev\/loop\d+$|disk\.img$/);
    await bed.remove("work");
    assert.equal(mountOf("work"), undefined);
    assert.equal(existsSync(join(bed.directory, "state/facilities/work")), false);
    assert.doesNotMatch(execFileSync("losetup", ["-a"], { encoding: "utf8" }), new RegExp(bed.directory));
  });
});
