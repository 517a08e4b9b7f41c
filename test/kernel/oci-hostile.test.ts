import assert from "node:assert/strict";
import fs, { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { controllerDirectory, enterCgroup } from "../../src/kernel/cgroups.ts";
import { listMounts } from "../../src/kernel/mounts.ts";
import { OciBed, until } from "./oci-bed.ts";

describe("a guest that means harm, or meets it", () => {
  let bed: OciBed;
  before(() => {
    bed = new OciBed();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it("does not have its log file open: it can neither lengthen nor reopen it", async () => {
    const script = "readlink /proc/self/fd/1; readlink /proc/self/fd/2; truncate -s 3G /proc/self/fd/1; : >/proc/self/fd/2; echo done";
    const plan = await bed.run("truncates", ["sh", "-c", script]);
    const { lastLines } = await bed.exit(plan);
    assert.match(lastLines[0] ?? "", /^pipe:/);
    assert.match(lastLines[1] ?? "", /^pipe:/);
    assert.equal(lastLines.at(-1), "done");
    assert.ok(statSync(join(plan.directory, "log")).size < 1024);
    await bed.driver.remove(plan);
  });

  it("fills no more of the disk than its log may have, though it writes without end and nobody looks", async () => {
    const driver = bed.anotherDriver({ log: { maxBytes: 256 * 1024, keep: 2 } });
    const plan = bed.plan("floods", { command: ["yes", "x".repeat(100)] });
    await driver.prepare(plan, () => undefined);
    await driver.start(plan);
    const oldest = join(plan.directory, "log.2");
    const seen = new Set<number>();
    await until("its log was put aside many times", () => {
      if (existsSync(oldest)) seen.add(statSync(oldest).mtimeMs);
      const parts = readdirSync(plan.directory).filter((name) => /^log(\.\d+)?$/.test(name));
      assert.ok(parts.length <= 3, parts.join(" "));
      for (const name of parts) {
        const size = statSync(join(plan.directory, name), { throwIfNoEntry: false })?.size ?? 0;
        assert.ok(size <= 512 * 1024, `${name} has ${size} bytes`);
      }
      return seen.size >= 5;
    });
    await driver.stop(plan, 0);
    await driver.remove(plan);
  });

  it("is stopped and removed although it was moved out of its cgroup", async () => {
    for (const how of ["stop", "remove"] as const) {
      const plan = await bed.run(`moved-${how}`, ["sh", "-c", "sleep 1000 & exec sleep 1000"]);
      const status = await bed.driver.observe(plan);
      assert.ok(status.kind === "running");
      const elsewhere = `${bed.parent}-elsewhere`;
      const pids = await moveAway(bed, plan.id, elsewhere);
      assert.ok(pids.includes(status.pid) && pids.length === 2, pids.join(" "));
      assert.deepEqual(await bed.anotherDriver().observe(plan), status);
      if (how === "stop") await bed.driver.stop(plan, 10);
      else await bed.driver.remove(plan);
      assert.deepEqual(
        pids.filter((pid) => existsSync(`/proc/${pid}/exe`)),
        [],
      );
      await bed.driver.remove(plan);
      await until("the other group is empty", () => removed(bed, elsewhere));
    }
  });

  it("has its limits read from the kernel, and set again when somebody changed them or moved it away", async () => {
    const spec = { mem: 64, pids: 40, cpus: 0.5 };
    const plan = await bed.run("drifts", ["sh", "-c", "sleep 1000 & exec sleep 1000"], spec);
    assert.deepEqual(bed.driver.limitsDrifted(plan), []);
    const pids = controllerDirectory(bed.cgroups, "pids", `${bed.parent}/drifts`);
    writeFileSync(join(pids?.directory ?? "", "pids.max"), "max");
    const memory = controllerDirectory(bed.cgroups, "memory", `${bed.parent}/drifts`);
    const files = memory?.version === 1 ? ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"] : ["memory.max"];
    for (const file of files)
      if (existsSync(join(memory?.directory ?? "", file))) writeFileSync(join(memory?.directory ?? "", file), String(512 << 20));
    assert.deepEqual(bed.driver.limitsDrifted(plan), [
      `the kernel has memoryBytes ${512 << 20} instead of ${64 << 20}`,
      "the kernel has pids unlimited instead of 40",
    ]);
    const status = await bed.driver.observe(plan);
    assert.deepEqual(status.kind === "running" && status.limits.memoryBytes, 512 << 20);
    const elsewhere = `${bed.parent}-elsewhere`;
    await moveAway(bed, plan.id, elsewhere);
    assert.match(bed.driver.limitsDrifted(plan).join("; "), /its pids cgroup is not below/);
    bed.driver.repairLimits(plan);
    assert.deepEqual(bed.driver.limitsDrifted(plan), []);
    const again = await bed.driver.observe(plan);
    assert.deepEqual(again.kind === "running" && again.limits, {
      ...(status.kind === "running" ? status.limits : {}),
      memoryBytes: 64 << 20,
      pids: 40,
    });
    assert.ok(removed(bed, elsewhere));
    const unrepairable = { ...plan, spec: { ...plan.spec, pids: 2 ** 40 } };
    assert.throws(
      () => bed.driver.repairLimits(unrepairable),
      (error) => error instanceof NexusError && error.code === "limit-refused",
    );
    await bed.driver.remove(plan);
  });

  it("has no devices opened through its root file system on the host, and sees nothing of the host's pages", async () => {
    const plan = await bed.run("looks", ["sh", "-c", "for f in kpageflags kpagecount kpagecgroup; do wc -c </proc/$f; done"]);
    assert.deepEqual((await bed.exit(plan)).lastLines, ["0", "0", "0"]);
    assert.ok(
      listMounts()
        .find((mount) => mount.target === join(plan.directory, "rootfs"))
        ?.options.includes("nodev"),
    );
    await bed.driver.remove(plan);
  });

  it("is waited for, and its exit known, when the kernel has no file watch left to give", async (t) => {
    t.mock.method(fs, "watch", () => {
      throw Object.assign(new Error("ENOSPC: System limit for number of file watchers reached"), { code: "ENOSPC" });
    });
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    const plan = await bed.run("unwatched", ["sh", "-c", "sleep 0.2; echo over; exit 7"]);
    const { code, lastLines } = await bed.exit(plan);
    assert.deepEqual([code, lastLines], [7, ["over"]]);
    await bed.driver.remove(plan);
  });

  it("is refused a command whose environment has names that are none", async () => {
    const plan = await bed.run("names", ["sleep", "1000"]);
    for (const name of ["", "A=B", "A\0B"])
      await assert.rejects(
        bed.driver.exec(plan, { command: ["true"], env: { [name]: "x" } }),
        (error) => error instanceof NexusError && error.code === "spec-invalid",
      );
    await bed.driver.remove(plan);
  });
});

/** Moves every process of a guest to a group outside; their numbers. */
async function moveAway(bed: OciBed, id: string, elsewhere: string): Promise<number[]> {
  const home = `${bed.parent}/${id}/guest`;
  const procs = bed
    .trees()
    .map((tree) => join(tree, home, "cgroup.procs"))
    .filter((file) => existsSync(file));
  const members = (): number[] => [...new Set(procs.flatMap((file) => readFileSync(file, "utf8").split("\n").filter(Boolean).map(Number)))];
  await until("both processes run", () => members().length === 2);
  const pids = members();
  for (const tree of bed.trees()) {
    if (!existsSync(join(tree, home))) continue;
    mkdirSync(join(tree, elsewhere), { recursive: true });
  }
  // A cpuset that has no processors yet takes none; in that tree they stay.
  for (const pid of pids) enterCgroup(bed.cgroups, elsewhere, pid);
  return pids;
}

function removed(bed: OciBed, path: string): boolean {
  try {
    for (const tree of bed.trees()) if (existsSync(join(tree, path))) rmdirSync(join(tree, path));
    return true;
  } catch {
    return false;
  }
}
