import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { listMounts, type Mount } from "./mounts.ts";
import { cgroupsOf } from "./processes.ts";

/**
 * Control groups of this host: cgroup v2 (one tree), v1 (one tree per controller), or both at once ("hybrid").
 * A path is the same text in every tree, `/nexus/c1`, relative to each tree's mount point.
 * Source: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
 */
export type CgroupHost = {
  mode: "v1" | "v2" | "hybrid";
  /** Mount point of the v2 tree. */
  unified: string | undefined;
  /** Controllers the v2 tree's root offers. */
  unifiedControllers: ReadonlySet<string>;
  /** Controller, or `name=…` for a tree without one, to the mount point of its v1 tree. */
  legacy: ReadonlyMap<string, string>;
};

export type Controller = "memory" | "cpu" | "pids" | "freezer";

/** Reads where the trees are mounted. @throws NexusError `unsupported` when none is */
export function findCgroups(mounts: readonly Mount[] = listMounts()): CgroupHost {
  let unified: string | undefined;
  const legacy = new Map<string, string>();
  for (const mount of mounts) {
    if (mount.type === "cgroup2") unified ??= mount.target;
    if (mount.type !== "cgroup") continue;
    for (const option of mount.superOptions) if (isTreeName(option) && !legacy.has(option)) legacy.set(option, mount.target);
  }
  if (unified === undefined && legacy.size === 0) {
    throw new NexusError("unsupported", "no cgroup tree is mounted", { hint: "mount cgroup2 on /sys/fs/cgroup" });
  }
  const mode = legacy.size === 0 ? "v2" : unified === undefined ? "v1" : "hybrid";
  return {
    mode,
    unified,
    unifiedControllers: new Set(unified === undefined ? [] : words(readIfThere(join(unified, "cgroup.controllers")) ?? "")),
    legacy,
  };
}

/** The directory in which a controller's files of a group are, and which version they speak; undefined when the host lacks the controller. */
export function controllerDirectory(
  host: CgroupHost,
  controller: Controller,
  path: string,
): { version: 1 | 2; directory: string } | undefined {
  const legacy = host.legacy.get(controller);
  if (legacy !== undefined) return { version: 1, directory: join(legacy, path) };
  if (host.unified === undefined) return undefined;
  // Freezing and killing are part of the v2 core, not of a controller that could be absent.
  if (controller !== "freezer" && !host.unifiedControllers.has(controller)) return undefined;
  return { version: 2, directory: join(host.unified, path) };
}

/** Every mount point of a tree, each once. */
export function cgroupTrees(host: CgroupHost): string[] {
  return [...new Set([...host.legacy.values(), ...(host.unified === undefined ? [] : [host.unified])])];
}

/** True while the process is in the group or below it, in any tree. */
export function isInCgroup(pid: number, path: string): boolean {
  return (cgroupsOf(pid) ?? []).some((own) => isWithin(own.path, path));
}

/** True while the process is in the group or below it in the tree that carries the controller. */
export function isLimitedBy(host: CgroupHost, pid: number, limit: { controller: Controller; path: string }): boolean {
  const legacy = host.legacy.has(limit.controller);
  const own = cgroupsOf(pid)?.find((line) => (legacy ? line.controllers.includes(limit.controller) : line.hierarchy === 0));
  return own !== undefined && isWithin(own.path, limit.path);
}

/** Every process of the group and the groups below it, in all trees. */
export function cgroupProcesses(host: CgroupHost, path: string): number[] {
  const pids = new Set<number>();
  for (const tree of cgroupTrees(host)) {
    for (const directory of subtree(join(tree, path))) {
      for (const line of words(readIfThere(join(directory, "cgroup.procs")) ?? "")) pids.add(Number(line));
    }
  }
  pids.delete(0);
  return [...pids];
}

/**
 * SIGKILL to everything in the group, until it is empty. On v2 `cgroup.kill` does it in one write;
 * on v1 the group is frozen first, so that nothing can fork between the reading and the killing.
 * @throws NexusError `timeout` when processes are left at the deadline (they hang in the kernel)
 */
export async function killCgroup(host: CgroupHost, path: string, deadlineMs = 5000): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    if (host.unified !== undefined) writeIfThere(join(host.unified, path, "cgroup.kill"), "1");
    const left = cgroupProcesses(host, path);
    if (left.length === 0) return;
    const freezer = host.legacy.get("freezer");
    const frozen = freezer === undefined ? [] : subtree(join(freezer, path)).map((directory) => join(directory, "freezer.state"));
    for (const file of frozen) writeIfThere(file, "FROZEN");
    for (const pid of cgroupProcesses(host, path)) signalIfThere(pid);
    for (const file of frozen) writeIfThere(file, "THAWED");
    if (performance.now() > end) {
      throw new NexusError("timeout", `processes ${left.join(", ")} of cgroup ${path} did not end within ${deadlineMs} ms of SIGKILL`);
    }
    await delay(pause);
  }
}

/** Removes the group and everything below it from every tree; absent is fine. @throws NexusError `in-use` while processes are in it */
export function removeCgroup(host: CgroupHost, path: string): void {
  for (const tree of cgroupTrees(host)) {
    for (const directory of subtree(join(tree, path)).reverse()) {
      try {
        rmdirSync(directory);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === "ENOENT") continue;
        throw new NexusError("in-use", `cgroup ${directory} cannot be removed: ${code}`, {
          cause: error,
          details: { processes: cgroupProcesses(host, path) },
        });
      }
    }
  }
}

/** Removes the group from every tree in which nothing is left below it or in it. */
export function removeEmptyCgroup(host: CgroupHost, path: string): void {
  for (const tree of cgroupTrees(host)) {
    try {
      rmdirSync(join(tree, path));
    } catch {
      // In use, or not there: both are fine.
    }
  }
}

/** Moves a process into the group, in every tree that has it; one that has ended, or may not be moved, stays where it is. */
export function enterCgroup(host: CgroupHost, path: string, pid: number): void {
  for (const tree of cgroupTrees(host)) writeIfThere(join(tree, path, "cgroup.procs"), String(pid));
}

/** Moves what is in one group of the v2 tree to another, also what is forked meanwhile. Groups below stay as they are. */
export function moveProcesses(host: CgroupHost, { from, to }: { from: string; to: string }): void {
  const file = join(host.unified ?? "", from, "cgroup.procs");
  for (let pass = 0; pass < 10; pass++) {
    const pids = words(readIfThere(file) ?? "").map(Number);
    if (pids.length === 0) return;
    for (const pid of pids) enterCgroup(host, to, pid);
  }
}

/** As enterCgroup, on a thread: the kernel may wait until every processor has been through it, some ten milliseconds. */
export async function enterCgroupAside(host: CgroupHost, path: string, pid: number): Promise<void> {
  // One tree after the other: they wait for the same lock, and would take all threads of the pool.
  for (const tree of cgroupTrees(host))
    await writeFile(join(tree, path, "cgroup.procs"), String(pid), { flag: "r+" }).catch(() => undefined);
}

/** Names of the groups directly below a path, in any tree. */
export function listCgroups(host: CgroupHost, path: string): string[] {
  const names = new Set<string>();
  for (const tree of cgroupTrees(host)) for (const name of childNames(join(tree, path))) names.add(name);
  return [...names].toSorted();
}

/** Makes the group in the trees of these controllers; on v2 they are switched on all the way down. @throws NexusError `limit-refused` naming the controller and the kernel's errno */
export function createCgroup(host: CgroupHost, path: string, controllers: readonly Controller[]): void {
  const onUnified: Controller[] = [];
  for (const controller of controllers) {
    const place = controllerDirectory(host, controller, path);
    if (place === undefined)
      throw new NexusError("limit-refused", `this host has no ${controller} cgroup controller`, {
        hint: `boot with the ${controller} controller switched on`,
      });
    if (place.version === 2) onUnified.push(controller);
    attempt(`make cgroup ${place.directory}`, () => mkdirSync(place.directory, { recursive: true }));
  }
  if (onUnified.length > 0 && host.unified !== undefined) enableBelow(host.unified, path, onUnified);
}

/**
 * What the memory controller knows of the group's past. v2 counts kills here for all groups below, also those already
 * removed. v1 counts them in the victim's own group only, which the runtime takes with it: what stays is whether the use
 * ever came to the limit (within the 256 KiB by which the kernel charges ahead).
 */
export function memoryEvents(host: CgroupHost, path: string): { limitReached: boolean; oomKills: number } {
  const place = controllerDirectory(host, "memory", path);
  if (place === undefined) return { limitReached: false, oomKills: 0 };
  const value = (name: string): string => readIfThere(join(place.directory, name)) ?? "";
  if (place.version === 1) {
    const limit = Number(value("memory.limit_in_bytes"));
    return {
      limitReached: Number(value("memory.max_usage_in_bytes")) >= limit - 256 * 1024 && limit > 0,
      oomKills: numberAfter("oom_kill", value("memory.oom_control")),
    };
  }
  const events = value("memory.events");
  return { limitReached: numberAfter("max", events) > 0, oomKills: numberAfter("oom_kill", events) };
}

/** How often the group was refused a process by its limit. */
export function pidsRefused(host: CgroupHost, path: string): number {
  const place = controllerDirectory(host, "pids", path);
  return place === undefined ? 0 : numberAfter("max", readIfThere(join(place.directory, "pids.events")) ?? "");
}

/** v2: a controller's files appear in a group only once every group above it passes the controller on. */
function enableBelow(root: string, path: string, controllers: readonly Controller[]): void {
  let directory = root;
  for (const part of path.split("/").filter((name) => name !== "")) {
    const file = join(directory, "cgroup.subtree_control");
    const there = new Set(words(readIfThere(file) ?? ""));
    const missing = controllers.filter((name) => !there.has(name));
    if (missing.length > 0)
      attempt(`switch on ${missing.join(", ")} in ${file}`, () => writeFileSync(file, missing.map((name) => `+${name}`).join(" ")));
    directory = join(directory, part);
  }
}

function attempt(what: string, action: () => unknown): void {
  try {
    action();
  } catch (error) {
    throw new NexusError("limit-refused", `${what}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
}

/** The directory and all below it, parents first. */
function subtree(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return [directory, ...childNames(directory).flatMap((name) => subtree(join(directory, name)))];
}

function childNames(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

function isWithin(own: string, path: string): boolean {
  return own === path || own.startsWith(`${path}/`);
}

function isTreeName(option: string): boolean {
  return (
    option.startsWith("name=") ||
    [
      "cpu",
      "cpuacct",
      "cpuset",
      "memory",
      "devices",
      "freezer",
      "blkio",
      "pids",
      "net_cls",
      "net_prio",
      "perf_event",
      "hugetlb",
      "rdma",
      "misc",
    ].includes(option)
  );
}

function numberAfter(key: string, text: string): number {
  for (const line of text.split("\n")) if (line.startsWith(`${key} `)) return Number(line.slice(key.length + 1));
  return 0;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function writeIfThere(file: string, text: string): void {
  try {
    // No O_CREAT: the file is the kernel's or it is not there.
    writeFileSync(file, text, { flag: "r+" });
  } catch {
    // The group went away meanwhile, or the tree is of the other version: nothing to do then.
  }
}

function signalIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
