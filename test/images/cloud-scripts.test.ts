import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import type { ProvisionStep } from "../../src/spec/vm-setup.ts";
import type { CloudInit } from "../../src/images/cloud-init.ts";
import { provisionCommand, provisionFiles, provisionLogPath, provisionStatusPath } from "../../src/images/cloud-scripts.ts";

const scripts = (...all: string[]): ProvisionStep[] => all.map((script) => ({ kind: "shell", script }));

for (const shell of [["sh"], ["busybox", "sh"]]) {
  describe(`a guest's first boot, by ${shell.join(" ")}`, () => {
    let root: string;
    const at = (path: string): string => join(root, path);
    const text = (path: string): string => readFileSync(at(path), "utf8");

    beforeEach((t) => {
      root = mkdtempSync(join(tmpdir(), "nexus-first-boot-"));
      for (const path of ["etc", "var/log", "bin", "dev"]) mkdirSync(at(path), { recursive: true });
      // A guest's own programs, which here only write down what they were asked.
      for (const name of ["mount", "mkfs.ext4", "systemctl", "qemu-ga", "apt-get"])
        writeFileSync(at(`bin/${name}`), `#!/bin/sh\necho ${name} "$@" >> ${root}/did\n`, { mode: 0o755 });
      (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(root, { recursive: true, force: true }));
    });

    /** Runs what the guest would, with this directory in place of its root. */
    function boot(more: Partial<CloudInit>, instead: Record<string, string> = {}): { code: number | null; said: string } {
      const here = (words: string): string =>
        Object.entries(instead)
          .reduce((all, [from, to]) => all.replaceAll(from, to), words)
          .replaceAll(/(?<![\w.])\/(etc|var)\//g, `${root}/$1/`)
          .replaceAll("/dev/disk/by-id/", `${root}/dev/`)
          // Only root could make a block device.
          .replaceAll("[ -b ", "[ -f ")
          // busybox has a mount of its own, and would not look for ours.
          .replaceAll('mount "$1"', `${root}/bin/mount "$1"`);
      for (const file of provisionFiles({ guestId: "g", hostname: "web", ...more })) {
        const path = here(file.path);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, here(String(file.content)), { mode: Number.parseInt(file.mode ?? "0644", 8) });
      }
      const [program = "", ...args] = [...shell, ...provisionCommand.slice(1).map(here)];
      const ran = spawnSync(program, args, { encoding: "utf8", env: { PATH: `${root}/bin:${process.env["PATH"]}` } });
      return { code: ran.status, said: ran.stdout + ran.stderr };
    }
    const status = (): string => text(provisionStatusPath).trim();

    it("runs the steps in order, each in a shell of its own, with the environment, and keeps what they say", () => {
      const steps = ['cd /tmp; mine=1; echo "one $GREETING"', 'echo "two ${mine-gone} $PWD"\n', `#!/usr/bin/env python3\nprint("three")`];
      const { code, said } = boot({ provision: scripts(...steps), environment: { GREETING: 'it\'s a $HOME "day"\nor two' } });
      assert.equal(code, 0, said);
      assert.equal(status(), "ok");
      assert.match(said, /step 1 of 3\none it's a \$HOME "day"\nor two\nnexus: step 2 of 3\ntwo gone \/\nnexus: step 3 of 3\nthree\n/);
      assert.equal(text(provisionLogPath), said);
    });

    it("puts files where they are wanted, between the steps around them", () => {
      const file = { kind: "file", target: `${root}/new/dir/it's.conf`, content: "no line feed", mode: "0640" } as const;
      const { code, said } = boot({ provision: [...scripts(`rm -rf ${root}/new`), file, ...scripts(`cat ${root}/new/dir/*`)] });
      assert.equal(code, 0, said);
      assert.match(said, /step 3 of 3\nno line feed$/);
      assert.equal(statSync(file.target).mode & 0o777, 0o640);
      assert.deepEqual(readdirSync(dirname(file.target)), ["it's.conf"]);
    });

    it("stops at the first step that fails, within it too, and says which", () => {
      const { code, said } = boot({ provision: scripts("echo a", "false\necho not here", `touch ${root}/never`) });
      assert.notEqual(code, 0);
      assert.equal(status(), "failed step 2 of 3 with code 1");
      assert.match(said, /nexus: step 2 of 3 with code 1/);
      assert.doesNotMatch(said, /not here/);
      assert.equal(existsSync(at("never")), false);
    });

    it("puts the environment and mounts into the system's files, in place of those of before", () => {
      writeFileSync(at("etc/environment"), "PATH=/bin");
      writeFileSync(at("etc/fstab"), "/dev/vda1 / ext4 defaults 0 1\n");
      const share = { from: { share: "src" }, target: `${root}/my src`, readOnly: true, options: "msize=4096" };
      boot({ environment: { A: "1 2", HASH: "a#b", OLD: "x" }, mounts: [share] });
      const { said } = boot({ environment: { A: "3" }, mounts: [share] });
      assert.equal(status(), "ok", said);
      assert.equal(text("etc/environment"), 'PATH=/bin\n# nexus: begin\nA="3"\n# nexus: end\n');
      const tag = `${root}/my\\040src`;
      assert.equal(
        text("etc/fstab"),
        `/dev/vda1 / ext4 defaults 0 1\n# nexus: begin\nsrc ${tag} 9p trans=virtio,version=9p2000.L,msize=262144,nofail,ro,msize=4096 0 0\n# nexus: end\n`,
      );
      assert.equal(text("did"), `mount ${root}/my src\nmount ${root}/my src\n`);
      boot({ mounts: [{ ...share, options: "noatime" }], shareType: "virtiofs" });
      assert.match(text("etc/fstab"), new RegExp(`\\nsrc \\S+ virtiofs nofail,ro,noatime 0 0\\n`));
      boot({});
      assert.equal(text("etc/environment"), "PATH=/bin\n# nexus: begin\n# nexus: end\n");
    });

    it("makes a file system only where there is nothing at all", () => {
      const disk = { from: { disk: "data" }, target: `${root}/data`, readOnly: false };
      writeFileSync(at("dev/virtio-data"), Buffer.alloc(3 << 20));
      boot({ mounts: [disk] });
      assert.equal(text("did"), `mkfs.ext4 ${root}/dev/virtio-data\nmount ${root}/data\n`);
      assert.match(text("etc/fstab"), /^\S+virtio-data \S+data auto defaults,nofail 0 2$/m);
      for (const place of [1080, 65_600, (1 << 20) - 1]) {
        rmSync(at("did"));
        const content = Buffer.alloc(3 << 20);
        content[place] = 1;
        writeFileSync(at("dev/virtio-data"), content);
        boot({ mounts: [disk] });
        assert.equal(text("did"), `mount ${root}/data\n`, `a byte at ${place}`);
      }
      rmSync(at("did"));
      writeFileSync(at("dev/virtio-data"), "");
      boot({ mounts: [disk], provision: scripts(`touch ${root}/never`) });
      assert.match(status(), /^failed read .*virtio-data$/);
      rmSync(at("dev/virtio-data"));
      boot({ mounts: [disk], provision: scripts(`touch ${root}/never`) });
      assert.match(status(), /^failed there is no disk .*virtio-data$/);
      assert.deepEqual([existsSync(at("did")), existsSync(at("never"))], [false, false]);
    });

    it("installs the agent where the image has none", () => {
      const { said } = boot({ agent: true }, { "command -v qemu-ga": "command -v no-such-agent" });
      assert.match(text("did"), /^apt-get -q update\napt-get -q -y install qemu-guest-agent\nsystemctl enable/);
      assert.equal(status(), "ok", said);
      writeFileSync(at("bin/apt-get"), "#!/bin/sh\nexit 100\n");
      assert.match(boot({ agent: true }, { "command -v qemu-ga": "command -v no-such-agent" }).said, /could not be installed/);
      assert.equal(status(), "ok");
    });

    it("starts the agent before the steps, and goes on without it", () => {
      boot({ agent: true, provision: scripts(`echo step >> ${root}/did`) });
      assert.equal(text("did"), "systemctl enable qemu-guest-agent\nsystemctl start qemu-guest-agent\nstep\n");
      writeFileSync(at("bin/systemctl"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
      const { said } = boot({ agent: true, provision: scripts("true") });
      assert.match(said, /qemu-guest-agent did not start/);
      assert.equal(status(), "ok");
    });

    it("gives steps any value of the environment as it is", () => {
      const value = fc.string({ unit: fc.constantFrom("a", " ", "'", '"', "$", "`", "\\", "\n", "#", "!", "é") });
      fc.assert(
        fc.property(fc.array(value, { minLength: 5, maxLength: 5 }), (values) => {
          const environment = Object.fromEntries(values.map((one, i) => [`V${i}`, one]));
          const { said } = boot({ environment, provision: scripts(`printf '%s|' ${values.map((_, i) => `"$V${i}"`).join(" ")}`) });
          assert.equal(said, `nexus: step 1 of 1\n${values.map((one) => `${one}|`).join("")}`);
        }),
        { numRuns: 8 },
      );
    });
  });
}
