import { createHash } from "node:crypto";
import { copyFileSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runStep } from "./run-step.ts";

const cache = join(import.meta.dirname, "../node_modules/.cache/nexus-debian");

/** What a Debian is made of; `before` and `after` are run in the new tree, `$1`, before the packages are installed, and after. */
export type Recipe = { packages: readonly string[]; before: string; after: string; size: string };

/** What a full Debian has in it: an init, a network of its own, cloud-init, SSH and the guest's agent. */
const packages =
  "systemd-sysv udev dbus kmod iproute2 sudo e2fsprogs initramfs-tools linux-image-cloud-amd64 cloud-init openssh-server qemu-guest-agent".split(
    " ",
  );

/** Its drivers are in the initial RAM disk. */
export const bootsFromVirtio = `
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
echo MODULES=list >"$1/etc/initramfs-tools/conf.d/nexus"
printf 'virtio_pci\\nvirtio_blk\\n' >"$1/usr/share/initramfs-tools/modules.d/nexus"
`;
const before = `${bootsFromVirtio}
mkdir -p "$1/etc/cloud/cloud.cfg.d"
printf 'datasource_list: [NoCloud, None]\\n' >"$1/etc/cloud/cloud.cfg.d/99_nexus.cfg"
`;
const after = `
chroot "$1" systemctl enable systemd-networkd qemu-guest-agent ssh
chroot "$1" systemctl mask systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
rm -f "$1"/etc/ssh/ssh_host_*
: >"$1/etc/machine-id"
rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
`;

const guest: Recipe = { packages, before, after, size: "1500M" };

/** Where the tests' Debian is: a disk that is one ext4 file system, and the kernel that boots it. */
export function testDebian(recipe = guest): { disk: string; kernel: string; initrd: string } {
  const key = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
  const at = (name: string) => join(cache, key, name);
  return { disk: at("disk.raw"), kernel: at("kernel"), initrd: at("initrd") };
}

/** Builds it with mmdebstrap from the archive this machine's apt uses: minutes once, then kept. Tests that need it fail when this did. */
export async function prepareDebian(say: (line: string) => void, recipe = guest): Promise<void> {
  const { disk } = testDebian(recipe);
  if (existsSync(disk)) return;
  say("set-up: building a full Debian for virtual machines, some minutes");
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, ".making-"));
  try {
    const problem = await build(work, recipe);
    if (problem !== undefined) return say(`set-up: there is no full Debian: ${problem}`);
    renameSync(join(work, "finished"), join(disk, ".."));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What went wrong, in words. */
async function build(work: string, recipe: Recipe): Promise<string | undefined> {
  const [tree, finished] = [join(work, "tree"), join(work, "finished")];
  const options = ["--variant=minbase", '--aptopt=Acquire::Languages "none"', `--include=${recipe.packages.join(",")}`];
  for (const path of ["doc", "man", "locale", "info"]) options.push(`--dpkgopt=path-exclude=/usr/share/${path}/*`);
  const hooks = [
    ["essential-hook", recipe.before],
    ["customize-hook", recipe.after],
  ].map(([kind, text]) => {
    const file = join(work, kind ?? "");
    writeFileSync(file, `#!/bin/sh\nset -e\n${text}`, { mode: 0o755 });
    return `--${kind}=${file}`;
  });
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "stable";
  const sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"].find((file) => existsSync(file)) ?? "";
  const made = await runStep("mmdebstrap", ["mmdebstrap", ...options, ...hooks, codename, tree, sources], { deadlineMs: 1_200_000 });
  if (!made.ok) return made.output.trim().split("\n").slice(-5).join("\n");
  mkdirSync(finished);
  for (const [name, pattern] of [
    ["kernel", "boot/vmlinuz-*"],
    ["initrd", "boot/initrd.img-*"],
  ] as const) {
    const [file] = globSync(pattern, { cwd: tree });
    if (file === undefined) return `it has no ${pattern}`;
    copyFileSync(join(tree, file), join(finished, name));
  }
  const disk = ["mke2fs", "-q", "-t", "ext4", "-d", tree, "-L", "root", join(finished, "disk.raw"), recipe.size] as const;
  const filled = await runStep("mke2fs", [...disk], { deadlineMs: 300_000 });
  return filled.ok ? undefined : filled.output;
}
