/**
 * Capabilities a container's root keeps: those that act on its own files, processes and users.
 * CHOWN, DAC_OVERRIDE, FOWNER, FSETID: own any file of its root file system, as package managers do.
 * SETUID, SETGID, SETPCAP: servers that start as root and give it up. KILL: stop processes of other users in it.
 * NET_BIND_SERVICE: ports below 1024. SYS_CHROOT: sshd and others that lock themselves in.
 * NET_RAW: ping; the seccomp profile keeps packet sockets shut, and the network drops forged addresses.
 * Left out on purpose: NET_ADMIN, MKNOD, SYS_ADMIN, SYS_PTRACE, AUDIT_WRITE, SETFCAP.
 */
export const guestCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

/** Files that tell about, or reach, the host: an empty file or directory is mounted over each that exists. */
export const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/kpagecgroup",
  "/proc/kpagecount",
  "/proc/kpageflags",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

export const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

type DeviceRule = { allow: boolean; type?: "c" | "b" | "a"; major?: number; minor?: number; access: string };

/** Devices that may be opened; nodes for them are made by the runtime (OCI config-linux.md, "Default Devices"). */
export const deviceRules: DeviceRule[] = [
  { allow: false, access: "rwm" },
  ...[3, 5, 7, 8, 9].map((minor): DeviceRule => ({ allow: true, type: "c", major: 1, minor, access: "rw" })),
  { allow: true, type: "c", major: 5, minor: 0, access: "rw" },
  { allow: true, type: "c", major: 5, minor: 2, access: "rw" },
  { allow: true, type: "c", major: 136, access: "rw" },
];

type Mount = { destination: string; type: string; source: string; options: string[] };

/** The kernel's file systems every program expects; /proc/sys and /sys are read-only. */
export function kernelMounts(cgroupVersion: 1 | 2): Mount[] {
  const mount = (destination: string, type: string, options: string[]): Mount => ({ destination, type, source: type, options });
  const mounts = [
    mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
    mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=64k"]),
    mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    mount("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
  ];
  // Programs size themselves by cgroup v2's files; on v1 it would take a mount per controller and show the host's tree.
  return cgroupVersion === 2 ? [...mounts, mount("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"])] : mounts;
}
