import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { runOrThrow } from "../program.ts";
import { clockOf, tellTime, wallClock } from "./rootfs.ts";

const cgroup = "nexus-bench-podman";

/** `podman run` on a root file system with runc and podman's own default network. Gives milliseconds to the first output. */
export function podman(rootfs: string): Disposable & { run(): number } {
  const directory = mkdtempSync("/var/tmp/nexus-bench-podman-");
  const config = `${directory}/containers.conf`;
  writeFileSync(config, containersConf);
  const args = [
    "--root",
    `${directory}/root`,
    "--runroot",
    "/run/bench-podman",
    "--tmpdir",
    "/run/bench-podman-tmp",
    "run",
    "--rm",
    "--cgroup-parent",
    cgroup,
    "--rootfs",
    rootfs,
    ...tellTime,
  ];
  return {
    run() {
      const begin = wallClock();
      return clockOf(runOrThrow("podman", args, "", { CONTAINERS_CONF: config })) - begin;
    },
    [Symbol.dispose]: () => {
      // Its storage is a mount of its own, which would keep the directory; its parent group it never removes.
      runOrThrow("sh", [
        "-c",
        `umount ${directory}/root/overlay; find /sys/fs/cgroup -mindepth 2 -depth -type d -path '*/${cgroup}*' -exec rmdir {} +; true`,
      ]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// Without CAP_SYS_RESOURCE podman cannot raise limits to its defaults, and hybrid cgroups need runc and cgroupfs.
const containersConf = `
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "netavark"
`;
