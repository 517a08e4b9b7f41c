import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runStep } from "./run-step.ts";
import { bootsFromVirtio, prepareDebian, type Recipe, testDebian } from "./test-debian.ts";
import { prepareMini } from "./test-mini.ts";
import { toolPackages } from "./test-tools.ts";

/**
 * Makes a host with systemd and cgroup v2 alone, as a virtual machine without a network, and runs tests of this checkout in it:
 * `scripts/node scripts/systemd-host.ts`, or with words for test.ts: `… --tier kernel sandbox-user`. Wants root, mmdebstrap and QEMU;
 * processors are emulated, so it takes from ten minutes on.
 */
const root = join(import.meta.dirname, "..");
const words = process.argv.length > 2 ? process.argv.slice(2) : ["--tier", "systemd"];

const host: Recipe = {
  packages: [
    ...toolPackages,
    ..."systemd-sysv udev dbus dbus-user-session libpam-systemd kmod initramfs-tools linux-image-cloud-amd64 libatomic1".split(" "),
  ],
  before: bootsFromVirtio,
  after: `
echo '/dev/vdb /opt/nexus ext4 defaults 0 0' >"$1/etc/fstab"
mkdir -p "$1/opt/nexus"
cat >"$1/etc/systemd/system/tests.service" <<'UNIT'
[Unit]
RequiresMountsFor=/opt/nexus
After=systemd-logind.service
[Service]
Type=oneshot
ExecStart=/bin/sh /opt/nexus/run-tests
ExecStopPost=systemctl poweroff
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
UNIT
chroot "$1" systemctl enable tests.service
chroot "$1" systemctl mask serial-getty@ttyS0.service docker-registry.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
`,
  size: "4G",
};

const say = (line: string): void => console.log(line);
await prepareMini(say);
await prepareDebian(say, host);
const work = mkdtempSync(join(tmpdir(), "nexus-systemd-host-"));
try {
  process.exitCode = (await boot(await diskOfCheckout())) ? 0 : 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Everything but what other machines made of it. */
async function diskOfCheckout(): Promise<string> {
  const [tree, disk] = [join(work, "tree"), join(work, "checkout.raw")];
  mkdirSync(tree);
  const excluded = [".git", "node_modules/.cache/nexus-debian", "node_modules/.nexus-compiled"].map((path) => `--exclude=./${path}`);
  await must("tar", ["sh", "-c", 'to=$1; shift; tar c "$@" . | tar x -C "$to"', "sh", tree, "-C", root, ...excluded]);
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  writeFileSync(join(tree, "run-tests"), `cd /opt/nexus && HOME=/root exec scripts/node scripts/test.ts ${quoted}\n`);
  await must("mke2fs", ["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, "2G"]);
  return disk;
}

/** True when the tests ended well. What they say is passed on. */
async function boot(checkout: string): Promise<boolean> {
  const { disk, kernel, initrd } = testDebian(host);
  const drive = (file: string, further: string) => ["-drive", `file=${file},format=raw,if=virtio,cache=unsafe${further}`];
  const child = spawn(
    "qemu-system-x86_64",
    [
      ..."-nodefaults -display none -no-reboot -machine q35 -accel tcg -cpu max -smp 2 -m 4096 -nic none -serial stdio".split(" "),
      ..."-object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng".split(" "),
      ...drive(disk, ",snapshot=on"),
      ...drive(checkout, ""),
      "-kernel",
      kernel,
      "-initrd",
      initrd,
      "-append",
      "root=/dev/vda rw console=ttyS0 quiet",
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let last: string | undefined;
  for await (const line of createInterface(child.stdout)) {
    say(line);
    last = /^(\d+ passed, \d+ failed), /.exec(line)?.[1] ?? last;
  }
  return last !== undefined && last.endsWith(" 0 failed");
}

async function must(name: string, command: [string, ...string[]]): Promise<void> {
  const done = await runStep(name, command, { deadlineMs: 300_000 });
  if (!done.ok) throw new Error(`${name}: ${done.output}`);
}
