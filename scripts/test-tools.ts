import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { runStep } from "./run-step.ts";

/** Programs, and files by their whole path, the tests use beside Nexus, to check its work and to compare with, and the Debian package each is in. */
const tools: readonly (readonly [program: string, debianPackage: string])[] = [
  ["nft", "nftables"],
  ["ip", "iproute2"],
  ["crun", "crun"],
  ["runc", "runc"],
  ["podman", "podman"],
  ["bwrap", "bubblewrap"],
  ["nsenter", "util-linux"],
  ["perl", "perl-base"],
  ["busybox", "busybox-static"],
  ["docker-registry", "docker-registry"],
  ["dnsperf", "dnsperf"],
  ["dig", "bind9-dnsutils"],
  ["ping", "iputils-ping"],
  ["conntrack", "conntrack"],
  ["nc", "netcat-openbsd"],
  ["tcpdump", "tcpdump"],
  ["strace", "strace"],
  ["jq", "jq"],
  ["unshare", "util-linux"],
  ["setpriv", "util-linux"],
  ["python3", "python3"],
  ["dhclient", "isc-dhcp-client"],
  ["dnsmasq", "dnsmasq-base"],
  ["systemd-networkd", "systemd"],
  ["xz", "xz-utils"],
  ["ps", "procps"],
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["qemu-img", "qemu-utils"],
  ["isoinfo", "genisoimage"],
  ["ssh-keygen", "openssh-client"],
  ["mmdebstrap", "mmdebstrap"],
  ["mke2fs", "e2fsprogs"],
  ["mkfs.ext4", "e2fsprogs"],
  ["git", "git"],
  ["/usr/lib/ipxe/qemu/efi-virtio.rom", "ipxe-qemu"],
  ["/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"],
];

/** The packages all of them are in. */
export const toolPackages: readonly string[] = [...new Set(tools.map(([, debianPackage]) => debianPackage))];

/** Installs the packages of programs that are missing; the mini virtual machine of the tests is test-mini.ts's. Does nothing without root or apt; tests that need them then fail and say so. */
export async function installTools(say: (line: string) => void): Promise<void> {
  const missing = [...new Set(tools.filter(([program]) => !isInstalled(program)).map(([, debianPackage]) => debianPackage))];
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
    say(`set-up: missing ${missing.join(", ")}; install them, or run this as root on Debian`);
    return;
  }
  say(`set-up: installing ${missing.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await runStep("apt-get update", ["apt-get", "update", "-q"], { env, deadlineMs: 300_000 });
  const result = await runStep("apt-get install", ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...missing], {
    env,
    deadlineMs: 600_000,
  });
  if (!result.ok) say(`set-up: apt-get failed\n${result.output.trimEnd()}`);
}

function isInstalled(program: string): boolean {
  if (isAbsolute(program)) return existsSync(program);
  const path = `${process.env["PATH"] ?? ""}${delimiter}/usr/sbin${delimiter}/sbin${delimiter}/lib/systemd`;
  return path.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
