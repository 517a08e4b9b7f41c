import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { isInCgroup } from "../kernel/cgroups.ts";
import { namespacedPids, readProcessStat } from "../kernel/processes.ts";
import type { OciLayout } from "./oci-layout.ts";

/** The init of a container as the host sees it. The runtime wrote its number down as it made it. */
export type InitProcess = { pid: number; startedAt: string };

/**
 * The container's first process while it lives. The number alone proves nothing, it may be in use again: the process must be
 * the one recorded when the container came up, or, before that, be in the guest's cgroup; and be number 1 of a pid namespace.
 */
export function findInit(layout: OciLayout, cgroup: string): InitProcess | undefined {
  const recorded = readRecord(layout.init);
  const pid = recorded?.pid ?? readPid(layout.pid);
  if (pid === undefined) return undefined;
  const stat = readProcessStat(pid);
  if (stat === undefined || stat.state === "Z" || stat.state === "X") return undefined;
  if (recorded === undefined ? !isInCgroup(pid, cgroup) : recorded.startTicks !== Number(stat.startTicks) || recorded.boot !== bootId())
    return undefined;
  if (namespacedPids(pid)?.at(-1) !== 1) return undefined;
  const written = statSync(layout.pid, { throwIfNoEntry: false }) ?? statSync(layout.init);
  return { pid, startedAt: written.mtime.toISOString() };
}

/** Keeps what tells this init from every other process, unless it is kept already: anybody may move it to another cgroup. */
export function recordInit(layout: OciLayout, init: InitProcess): void {
  if (readRecord(layout.init) !== undefined) return;
  const startTicks = readProcessStat(init.pid)?.startTicks;
  if (startTicks === undefined) return;
  const record: InitRecord = { pid: init.pid, startTicks: Number(startTicks), boot: bootId() };
  writeFileSync(`${layout.init}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${layout.init}.new`, layout.init);
}

export function readPid(file: string): number | undefined {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^[1-9]\d*$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** True once the process runs the program it was made for: the kernel clears PF_FORKNOEXEC at execve (linux/sched.h). */
export function hasExecuted(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && (stat.flags & forkNoExec) === 0;
}

/** Why a started process is not confined as asked, in words; empty when it is. */
export function confinementFaults(pid: number, netns: string | undefined): string[] {
  const faults: string[] = [];
  const depth = (namespacedPids(pid)?.length ?? 0) - (namespacedPids(process.pid)?.length ?? 0);
  if (depth !== 1) faults.push(`it is ${depth} pid namespaces below the daemon instead of one`);
  if (netns !== undefined && !sameFile(`/proc/${pid}/ns/net`, netns)) faults.push(`its network namespace is not ${netns}`);
  for (const kind of ["mnt", "ipc", "uts", "pid"]) {
    if (sameFile(`/proc/${pid}/ns/${kind}`, `/proc/self/ns/${kind}`)) faults.push(`it shares the daemon's ${kind} namespace`);
  }
  return faults;
}

const forkNoExec = 0x40;

type InitRecord = { pid: number; startTicks: number; boot: string };

function readRecord(file: string): InitRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as InitRecord;
  } catch {
    return undefined;
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function sameFile(a: string, b: string): boolean {
  try {
    const x = statSync(a);
    const y = statSync(b);
    return x.ino === y.ino && x.dev === y.dev;
  } catch {
    return false;
  }
}
