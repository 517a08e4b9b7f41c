import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Mac } from "../../src/base/mac.ts";
import type { IfName } from "../../src/base/names.ts";
import { cloudSeed, seedFiles } from "../../src/images/cloud-init.ts";
import { writeSeedIso } from "../../src/images/seed-iso.ts";
import { modulesInOrder } from "../../src/images/vm-modules.ts";
import { QemuBed } from "./qemu-bed.ts";
import { testMini } from "../../scripts/test-mini.ts";

describe("a cloud-init seed in a virtual machine", () => {
  it("is read by Linux, with Rock Ridge's names and with Joliet's", { timeout: 180_000 }, async () => {
    await using bed = new QemuBed();
    const nic = { name: "eth0" as IfName, mac: "02:00:5e:10:00:01" as Mac, dhcp4: true, dhcp6: false };
    const seed = cloudSeed({
      guestId: "web",
      hostname: "web",
      nics: [nic],
      provision: [{ kind: "shell", script: "echo hello\n".repeat(500) }],
    });
    mkdirSync(bed.directory, { recursive: true });
    const image = join(bed.directory, "seed.iso");
    writeFileSync(image, writeSeedIso(seedFiles(seed)));
    const plan = bed.plan("web", { disks: [{ name: "seed", source: image, format: "raw", readOnly: true }] });
    await bed.boot(plan);
    for (const module of isoModules(bed.directory)) {
      const put = await bed.driver.exec(plan, { command: ["sh", "-c", "cat > /tmp/module.ko && insmod /tmp/module.ko"], env: {} });
      put.stdin.end(module);
      assert.equal(await put.exitCode, 0);
    }
    for (const options of ["ro", "ro,norock"]) {
      const { out, err, code } = await bed.shell(
        plan,
        `mount -t iso9660 -o ${options} /dev/vda /mnt && ls /mnt && cat /mnt/user-data; umount /mnt`,
      );
      assert.equal(code, 0, err);
      assert.equal(out, `meta-data\nnetwork-config\nuser-data\n${seed.userData}`, options);
    }
    const { out } = await bed.shell(
      plan,
      `mount -t iso9660 -o ro /dev/vda /mnt; stat -c '%a %u' /mnt/user-data /mnt; cat /mnt/network-config`,
    );
    assert.equal(out, `400 0\n500 0\n${seed.networkConfig}`);
  });
});

/** The kernel's modules for such a disk, of the package that mini was built from. */
function isoModules(directory: string): Uint8Array[] {
  const [archive] = globSync("packages/linux-image-*.deb", { cwd: testMini }).toSorted().reverse();
  assert.ok(archive !== undefined);
  const tree = join(directory, "kernel");
  execFileSync("dpkg-deb", ["-x", join(testMini, archive), tree]);
  return modulesInOrder(join(tree, "lib/modules"), ["isofs"]).map((module) => module.content);
}
