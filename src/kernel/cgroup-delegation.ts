import { accessSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setLimits } from "./cgroup-limits.ts";
import {
  type CgroupHost,
  controllerDirectory,
  enterCgroup,
  findCgroups,
  moveProcesses,
  removeCgroup,
  removeEmptyCgroup,
} from "./cgroups.ts";
import { cgroupsOf } from "./processes.ts";

/** A group that was given to this process, and the one below it in which it limits others. */
export type Delegated = { host: CgroupHost; own: string; parent: string };

const controllers = ["memory", "cpu", "pids"] as const;
/** Of this process and of virtual machines, beside the group of those that are limited. */
const leafName = "nexus";

/**
 * A group below this process's own in which an ordinary user may make limited ones, as systemd gives a service with Delegate=yes;
 * undefined when there is none, found out by trying. On v2 this process moves into a leaf of its own for it, because only groups
 * without processes pass controllers on (cgroup-v2.rst, "No Internal Process Constraint").
 */
export function delegatedCgroup(): Delegated | undefined {
  try {
    const host = findCgroups();
    const own = ownGroup(host);
    if (own === undefined) return undefined;
    const given = { host, own, parent: join(own, "nexus-sandboxes") };
    const places = controllers.map((controller) => controllerDirectory(host, controller, own));
    for (const place of places) accessSync(place?.directory ?? "/nowhere", constants.W_OK);
    if (places.some((place) => place?.version === 2)) leaveTo(given, join(own, leafName));
    tryOut(given);
    return given;
  } catch {
    return undefined;
  }
}

/**
 * Gives back what nothing is in. On v2 the group no longer passes controllers on: as long as it does, systemd cannot start the
 * service anew while virtual machines of the last one run in the leaf (but from version 254 on, by DelegateSubgroup=nexus).
 */
export function releaseDelegated({ host, own, parent }: Delegated): void {
  try {
    removeEmptyCgroup(host, parent);
    if (host.unified !== undefined)
      writeFileSync(join(host.unified, own, "cgroup.subtree_control"), controllers.map((name) => `-${name}`).join(" "));
  } catch {
    // In use, or another tree has the controllers.
  }
}

/** The one path this process has in all trees that limit something; of a leaf made here before, or by systemd, the group above. */
function ownGroup(host: CgroupHost): string | undefined {
  const memberships = cgroupsOf(process.pid) ?? [];
  const paths = controllers.map((controller) =>
    host.legacy.has(controller)
      ? memberships.find(({ controllers: named }) => named.includes(controller))?.path
      : memberships.find(({ hierarchy }) => hierarchy === 0)?.path,
  );
  const [path] = paths;
  if (path === undefined || new Set(paths).size !== 1) return undefined;
  return basename(path) === leafName && isOurs(host, dirname(path)) ? dirname(path) : path;
}

function isOurs({ unified }: CgroupHost, path: string): boolean {
  try {
    accessSync(join(unified ?? "/nowhere", path, "cgroup.procs"), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** What else is in the group of a service (systemd.exec(5), SYSTEMD_EXEC_PID) are virtual machines and what watches them. */
function leaveTo({ host, own }: Delegated, leaf: string): void {
  mkdirSync(join(host.unified ?? "", leaf), { recursive: true });
  if (process.env["SYSTEMD_EXEC_PID"] === String(process.pid)) moveProcesses(host, { from: own, to: leaf });
  else enterCgroup(host, leaf, process.pid);
}

/** Nothing of a failure stays. */
function tryOut(given: Delegated): void {
  const { host, own, parent } = given;
  const trial = join(parent, `trial-${process.pid}`);
  try {
    setLimits(host, trial, { memoryBytes: 1 << 24, cpus: 1, pids: 10 });
    removeCgroup(host, trial);
  } catch (error) {
    removeEmptyCgroup(host, trial);
    releaseDelegated(given);
    enterCgroup(host, own, process.pid);
    removeEmptyCgroup(host, join(own, leafName));
    throw error;
  }
}
