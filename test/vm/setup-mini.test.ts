import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { GuestView } from "../../src/spec/views.ts";
import { MachineBed } from "./machine-bed.ts";

describe("what a mini virtual machine sets up in itself", { timeout: 300_000 }, () => {
  let bed: MachineBed;
  const here = mkdtempSync(join(tmpdir(), "nexus-setup-"));
  before(async () => {
    bed = await MachineBed.make();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });

  const setUp = (name: string, state = "done"): Promise<GuestView> =>
    bed.vmIs(name, `is ${state}`, (vm) => vm.setup !== undefined && vm.setup.state !== "pending", 90_000);
  const told = async (kind: string) => (await bed.daemon.eventsSince(0)).filter((event) => event.kind === kind);
  const lastLines = (details: Record<string, unknown> | undefined) => details?.["lastLines"];

  it("is done after each boot: disks with what is on them, files, scripts with the environment", async () => {
    const disk = join(here, "data.qcow2");
    await bed.create({
      name: "web",
      env: { GREETING: "it's me" },
      disks: [{ name: "data", source: disk, size: "64M" }],
      setup: {
        mounts: [{ from: { disk: "data" }, target: "/data dir" }],
        provision: [
          { kind: "file", target: "/etc/deep/motd", content: "Hello $USER ü\n", mode: "0600" },
          { kind: "shell", script: 'echo "$GREETING" >"/data dir/first.$(ls "/data dir" | grep -c first)"' },
          { kind: "shell", script: "#!/bin/sh\nNEXUS_END=1; cat <<'NEXUS_END'\nx\nNEXUS_END\ncp /etc/deep/motd /root/copy\n" },
        ],
      },
    });
    assert.deepEqual((await setUp("web")).setup, { state: "done" });
    const { out } = await bed.shell(
      "web",
      `cat '/data dir/first.0' /root/copy; stat -c %a /etc/deep/motd; grep ' /data' /proc/mounts | cut -d' ' -f3`,
    );
    assert.equal(out, "it's me\nHello $USER ü\n600\next4\n");
    assert.equal((await told("vm.ready")).length, 1);
    await bed.must("vm", "restart", "web");
    assert.deepEqual((await setUp("web")).setup, { state: "done" });
    assert.equal(
      (await bed.shell("web", `ls '/data dir' | grep first; test -e /root/copy`)).out,
      "first.0\nfirst.1\n",
      "the disk was kept",
    );
    await bed.daemon.crashAndStart();
    assert.deepEqual((await setUp("web")).setup, { state: "done" });
    assert.equal((await told("vm.ready")).length, 2, "a daemon that comes later tells nothing again");
  });

  it("ends at the first step that fails, which is told with what it said", async () => {
    await bed.create({
      name: "bad",
      setup: { provision: ["echo one", "echo no such thing >&2; exit 3", "touch /never"].map((script) => ({ kind: "shell", script })) },
    });
    const { setup } = await setUp("bad", "failed");
    assert.deepEqual(setup, { state: "failed", said: "step 2 of 3 with code 3: no such thing" });
    assert.match(await bed.must("vm", "inspect", "bad"), /set-up failed: step 2 of 3 with code 3: no such thing/);
    const [event] = await told("vm.setup-failed");
    assert.deepEqual([event?.subject, lastLines(event?.details)], ["bad", ["one", "no such thing"]]);
    assert.notEqual((await bed.shell("bad", "test -e /never")).code, 0);
  });

  it("is refused where mini cannot do it, and where the machine has not what is to be mounted", async () => {
    await assert.rejects(bed.create({ name: "x", setup: { packages: ["vim"], userData: "#cloud-config\n" } }), /mini has no packages/);
    await assert.rejects(
      bed.create({ name: "x", setup: { mounts: [{ from: { disk: "gone" }, target: "/x" }] } }),
      /the machine has no disk gone/,
    );
    await assert.rejects(bed.create({ name: "x", disks: [{ name: "cidata", source: "/x" }] }), /name of a disk of Nexus itself/);
  });

  it("comes from a script named on the command line", async () => {
    const script = join(here, "script.sh");
    writeFileSync(script, "echo made >/made\n");
    await bed.must("vm", "create", "cli", "--mem", "128", "--provision", script);
    await setUp("cli");
    assert.equal((await bed.shell("cli", "cat /made")).out, "made\n");
    assert.equal(readFileSync(script, "utf8"), "echo made >/made\n");
  });
});
