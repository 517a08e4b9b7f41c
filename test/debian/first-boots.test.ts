import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { testDebian } from "../../scripts/test-debian.ts";
import { ownSshKey } from "../../src/cli/ssh/own-keys.ts";
import { runNexus } from "../e2e/recovery-bed.ts";
import { MachineBed } from "../vm/machine-bed.ts";

describe("a full Debian with cloud-init", { timeout: 580_000 }, () => {
  let bed: MachineBed;
  const here = mkdtempSync(join(tmpdir(), "nexus-debian-"));
  before(async () => {
    bed = await MachineBed.make();
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
    rmSync(here, { recursive: true, force: true });
  });

  const setUp = () => bed.vmIs("deb", "is set up", (vm) => vm.setup !== undefined && vm.setup.state !== "pending", 280_000);
  const shell = async (line: string) => {
    const { code, out, err } = await bed.shell("deb", line);
    assert.equal(code, 0, `${line}: ${err}${out}`);
    return out.trim();
  };

  it("becomes what it is told at its first boot, and not again at its second", async () => {
    const { disk, kernel, initrd } = testDebian();
    const env = { XDG_STATE_HOME: here };
    mkdirSync(join(here, "www"));
    writeFileSync(join(here, "www/word"), "of the host\n");
    await bed.must("network", "create", "lan", "--subnet", "10.88.0.0/24");
    await bed.create({
      name: "deb",
      mem: 512,
      cpus: 2,
      image: disk,
      kernel,
      initrd,
      cmdline: "root=/dev/vda rw",
      hostname: "deb-host",
      env: { GREETING: "it's me" },
      networks: [{ network: "lan", address: "10.88.0.77" }],
      disks: [{ name: "data", source: join(here, "data.qcow2"), size: "64M" }],
      shares: [{ name: "www", source: join(here, "www") }],
      setup: {
        user: "tester",
        authorizedKeys: [ownSshKey({ env }).publicLine],
        userData: "#cloud-config\nwrite_files:\n  - {path: /etc/from-user, content: theirs}\n",
        mounts: [
          { from: { disk: "data" }, target: "/data" },
          { from: { share: "www" }, target: "/www", readOnly: true },
        ],
        provision: [
          { kind: "file", target: "/etc/from-nexus", content: "ours\n", mode: "0640" },
          { kind: "shell", script: 'echo "$GREETING" >>/data/ran' },
        ],
      },
    });
    assert.deepEqual((await setUp()).setup, { state: "done" });
    assert.equal(await shell("hostname"), "deb-host");
    assert.equal(await shell("cat /etc/from-user /etc/from-nexus; stat -c %a /etc/from-nexus"), "theirsours\n640");
    assert.match(await shell("cat /run/systemd/netif/leases/*"), /^ADDRESS=10\.88\.0\.77$/m);
    assert.match(await shell("ip -4 -o address show dev eth0"), /10\.88\.0\.77\/24 .*dynamic/);
    // Which letter a disk gets is the kernel's affair; its serial number is its name.
    assert.equal(
      await shell("findmnt -no FSTYPE /data; lsblk -dno SERIAL $(findmnt -no SOURCE /data); cat /data/ran"),
      "ext4\ndata\nit's me",
    );
    assert.equal(await shell("findmnt -no FSTYPE /www; cat /www/word"), "virtiofs\nof the host");
    const ssh = await runNexus(["ssh", "deb", "--wait", "50s", "--", "id -un; sudo -n id -un"], {
      ...env,
      NEXUS_SOCKET: bed.daemon.places.socket,
    });
    assert.deepEqual([ssh.code, ssh.out], [0, "tester\nroot\n"], ssh.err);

    await bed.client.call("vm.restart", { params: { name: "deb" }, query: { grace: 100 } });
    assert.deepEqual((await setUp()).setup, { state: "done" });
    assert.equal(await shell("cat /data/ran /www/word"), "it's me\nof the host", "mounted again, and not done again");
    await bed.must("vm", "rm", "deb", "--force");
    await bed.allIsWell();
  });
});
