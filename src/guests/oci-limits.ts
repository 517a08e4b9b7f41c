import { readdirSync, readlinkSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import { limitDifferences, type ResourceLimits, setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, type Controller, enterCgroup, isLimitedBy } from "../kernel/cgroups.ts";
import type { OciLayout } from "./oci-layout.ts";
import { findInit } from "./oci-process.ts";

/** A container and what it is to be held to. */
export type Limited = { layout: OciLayout; cgroups: CgroupHost; cgroup: string; limits: ResourceLimits };

/** The container's own group within the one that carries the limits. */
export function containerCgroup(cgroup: string): string {
  return `${cgroup}/guest`;
}

/** In words, how the limits the kernel holds a running container to differ from those asked for; empty when they do not. */
export function limitDrift(run: Limited): string[] {
  const init = findInit(run.layout, run.cgroup);
  if (init === undefined) return [];
  return [...limitDifferences(run.cgroups, run.cgroup, run.limits), ...limitFaults(run, init.pid)];
}

/**
 * Sets the limits of a running container again, and brings back those of its processes that were moved out of its group.
 * @throws NexusError `limit-refused`: the kernel did not take a limit, or a process did not come back
 */
export function restoreLimits(run: Limited): void {
  const init = findInit(run.layout, run.cgroup);
  if (init === undefined) return;
  setLimits(run.cgroups, run.cgroup, run.limits);
  if (limitFaults(run, init.pid).length > 0) {
    const home = containerCgroup(run.cgroup);
    // The first pass may miss what is forked meanwhile by one that is not yet home.
    for (let pass = 0; pass < 2; pass++) for (const pid of processesWith(init.pid)) enterCgroup(run.cgroups, home, pid);
  }
  const left = limitDrift(run);
  if (left.length > 0) throw new NexusError("limit-refused", `limits of ${run.cgroup} do not hold: ${left.join("; ")}`);
}

/** Limits hold only for processes below the group they are on, in the tree that carries them. */
export function limitFaults({ cgroups, cgroup, limits }: Omit<Limited, "layout">, pid: number): string[] {
  const controllers: Controller[] = [
    ...(limits.memoryBytes === undefined ? [] : (["memory"] as const)),
    ...(limits.pids === undefined ? [] : (["pids"] as const)),
    ...(limits.cpuShares === undefined && limits.cpus === undefined ? [] : (["cpu"] as const)),
  ];
  return controllers
    .filter((controller) => !isLimitedBy(cgroups, pid, { controller, path: cgroup }))
    .map((controller) => `its ${controller} cgroup is not below ${cgroup}`);
}

/** All processes of a pid namespace. */
function processesWith(init: number): number[] {
  const namespace = pidNamespace(init);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => namespace !== undefined && pidNamespace(pid) === namespace);
}

function pidNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
