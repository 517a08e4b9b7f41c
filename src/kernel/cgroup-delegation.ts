import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setLimits } from "./cgroup-limits.ts";
import { type CgroupHost, controllerDirectory, enterCgroup, findCgroups, removeCgroup } from "./cgroups.ts";
import { cgroupsOf } from "./processes.ts";

/**
 * A group below this process's own in which an ordinary user may make limited ones, as systemd gives a service with Delegate=yes;
 * undefined when there is none, found out by trying. On v2 this process moves into a leaf of its own for it, because only groups
 * without processes pass controllers on (cgroup-v2.rst, "No Internal Process Constraint").
 */
export function delegatedCgroup(): { host: CgroupHost; parent: string } | undefined {
  try {
    const host = findCgroups();
    const own = ownGroup(host);
    if (own === undefined) return undefined;
    const parent = join(own, "nexus-sandboxes");
    const places = (["memory", "cpu", "pids"] as const).map((controller) => controllerDirectory(host, controller, own));
    for (const place of places) accessSync(place?.directory ?? "/nowhere", constants.W_OK);
    if (places.some((place) => place?.version === 2)) leaveTo(host, join(own, "nexus"));
    const trial = join(parent, `trial-${process.pid}`);
    setLimits(host, trial, { memoryBytes: 1 << 24, cpus: 1, pids: 10 });
    removeCgroup(host, trial);
    return { host, parent };
  } catch {
    return undefined;
  }
}

/** The one path this process has in all trees that limit something. */
function ownGroup(host: CgroupHost): string | undefined {
  const memberships = cgroupsOf(process.pid) ?? [];
  const paths = (["memory", "cpu", "pids"] as const).map((controller) =>
    host.legacy.has(controller)
      ? memberships.find(({ controllers }) => controllers.includes(controller))?.path
      : memberships.find(({ hierarchy }) => hierarchy === 0)?.path,
  );
  return new Set(paths).size === 1 ? paths[0] : undefined;
}

function leaveTo(host: CgroupHost, leaf: string): void {
  mkdirSync(join(host.unified ?? "", leaf), { recursive: true });
  enterCgroup(host, leaf, process.pid);
}
