import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type MountLine, mountsNow } from "./host-traces.ts";

export type Limits = { memoryBytes: number; cpu: { version: 1 | 2; value: number }; pids: number };

/**
 * The limits a process runs under, from the kernel's own files: /proc/PID/cgroup says where, mountinfo where that is.
 * @throws Error when a file is not there
 */
export function limitsOfProcess(
  pid: number,
  mounts: readonly MountLine[] = mountsNow(),
  groups = readFileSync(`/proc/${pid}/cgroup`, "utf8"),
): Limits {
  const read = (controller: "memory" | "cpu" | "pids", names: { 1: string; 2: string }) => {
    const { directory, version } = groupOf(controller, { mounts, groups });
    return { version, value: Number(readFileSync(join(directory, names[version]), "utf8").trim()) };
  };
  return {
    memoryBytes: read("memory", { 1: "memory.limit_in_bytes", 2: "memory.max" }).value,
    cpu: read("cpu", { 1: "cpu.shares", 2: "cpu.weight" }),
    pids: read("pids", { 1: "pids.max", 2: "pids.max" }).value,
  };
}

/** The kernel has no shares in cgroup v2; this is the weight that stands for them (the curve OCI runtimes agreed on, through 1024 and 100). */
export function weightForShares(shares: number): number {
  const x = Math.log2(shares);
  return Math.ceil(10 ** ((x * x + 125 * x) / 612 - 7 / 34) - 1e-9);
}

/** A guest's processes are in a group below the one that carries its limits, `/nexus/<guest>`. */
function groupOf(controller: string, host: { mounts: readonly MountLine[]; groups: string }): { directory: string; version: 1 | 2 } {
  const lines = host.groups.split("\n").map((line) => /^(\d+):([^:]*):(.*)$/.exec(line));
  const legacy = lines.find((line) => line?.[2]?.split(",").includes(controller));
  const line = legacy ?? lines.find((candidate) => candidate?.[1] === "0");
  const mount = host.mounts.find((m) =>
    legacy === undefined ? m.type === "cgroup2" : m.type === "cgroup" && m.options.includes(controller),
  );
  if (line?.[3] === undefined || mount === undefined) throw new Error(`this host has no ${controller} controller`);
  const guest = /^(.*\/nexus\/[^/]+)/.exec(line[3])?.[1];
  if (guest === undefined) throw new Error(`the process is in ${line[3]}, which is no guest's group`);
  return { directory: join(mount.target, guest), version: legacy === undefined ? 2 : 1 };
}
