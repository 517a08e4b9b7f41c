import * as fs from "node:fs";
import { NexusError, WireError } from "../base/errors.ts";
import { asKernel, isErrno } from "../sys/errno.ts";
import { Pidfd } from "../sys/pidfd.ts";
import { type NamespaceId, namespaceId, sameNamespace } from "./namespaces.ts";

export { Pidfd } from "../sys/pidfd.ts";

/** Parts of /proc/<pid>/stat (proc_pid_stat(5)). */
export type ProcessStat = {
  pid: number;
  command: string;
  /** R, S, D, T, Z, X … */
  state: string;
  parent: number;
  /** PF_* of linux/sched.h. */
  flags: number;
  /** Ticks after boot: with the pid, names a process for as long as the machine is up. */
  startTicks: bigint;
};

/** Undefined when no such process exists. @throws WireError */
export function readProcessStat(pid: number): ProcessStat | undefined {
  const text = readProc(pid, "stat");
  return text === undefined ? undefined : parseProcessStat(text);
}

/** @throws WireError */
export function parseProcessStat(text: string): ProcessStat {
  // The command is in parentheses and may hold spaces and parentheses itself: the last one closes it.
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  const pid = text.slice(0, Math.max(0, open)).trim();
  const fields = text
    .slice(close + 2)
    .trim()
    .split(/\s+/);
  const [state, parent] = fields;
  const flags = fields[6];
  const start = fields[19];
  if (open < 0 || close < open || !isDigits(pid) || state === undefined || !isDigits(parent) || !isDigits(flags) || !isDigits(start)) {
    throw new WireError("process stat", `not understood: ${text.slice(0, 80)}`);
  }
  return {
    pid: Number(pid),
    command: text.slice(open + 1, close),
    state,
    parent: Number(parent),
    flags: Number(flags),
    startTicks: BigInt(start),
  };
}

/** A descriptor of the process that had this pid and start time, or undefined when that one has ended. @throws KernelError */
export function adoptProcess(pid: number, startTicks: bigint): Pidfd | undefined {
  using stack = new DisposableStack();
  const process = Pidfd.open(pid);
  if (process === undefined) return undefined;
  stack.use(process);
  // Only after the pidfd is open can the pid no longer come to mean another process.
  const stat = readProcessStat(pid);
  if (stat === undefined || stat.startTicks !== startTicks || process.hasExited()) return undefined;
  stack.move();
  return process;
}

/** Resolves when the process has ended. @throws NexusError `timeout`; the signal's reason */
export async function waitForExit(process: Pidfd, limit: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<void> {
  const deadline = AbortSignal.timeout(limit.timeoutMs);
  const signal = limit.signal === undefined ? deadline : AbortSignal.any([deadline, limit.signal]);
  try {
    await process.exited({ signal });
  } catch (error) {
    if (!deadline.aborted || limit.signal?.aborted === true) throw error;
    throw new NexusError("timeout", `process ${process.pid} has not ended within ${limit.timeoutMs} ms`);
  }
}

/**
 * Asks with SIGTERM (or `signal`), and after `graceMs` ends it with SIGKILL; resolves when the process is gone.
 * @throws KernelError; NexusError `timeout` when even SIGKILL has not ended it within five seconds
 */
export async function endProcess(process: Pidfd, options: { graceMs: number; signal?: number }): Promise<"ended" | "killed"> {
  if (!process.signal(options.signal ?? sigterm)) return "ended";
  try {
    await waitForExit(process, { timeoutMs: options.graceMs });
    return "ended";
  } catch (error) {
    if (!(error instanceof NexusError) || error.code !== "timeout") throw error;
  }
  process.signal(sigkill);
  await waitForExit(process, { timeoutMs: killDeadlineMs });
  return "killed";
}

/** A line of /proc/<pid>/cgroup: version 2 has hierarchy 0 and no controllers. */
export type CgroupMembership = { hierarchy: number; controllers: string[]; path: string };

/** A field of /proc/<pid>/status, undefined when the process or the field does not exist. */
export function statusField(pid: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(readProc(pid, "status") ?? "")?.[1];
}

/** Undefined when no such process exists. @throws WireError */
export function cgroupsOf(pid: number): CgroupMembership[] | undefined {
  const text = readProc(pid, "cgroup");
  return text === undefined ? undefined : parseCgroups(text);
}

/** @throws WireError */
export function parseCgroups(text: string): CgroupMembership[] {
  return text.split("\n").flatMap((line) => {
    if (line === "") return [];
    const match = /^(\d+):([^:]*):(\/.*)$/.exec(line);
    if (match === null) throw new WireError("cgroup membership", `not understood: ${line.slice(0, 80)}`);
    const [, hierarchy, controllers, path] = match as unknown as [string, string, string, string];
    return [{ hierarchy: Number(hierarchy), controllers: controllers === "" ? [] : controllers.split(","), path }];
  });
}

/** The pids a process has in each pid namespace from ours down to its own; undefined when it does not exist. */
export function namespacedPids(pid: number): number[] | undefined {
  return statusField(pid, "NSpid")?.split(/\s+/).map(Number);
}

/** The processes whose parent is this one's main thread, oldest first; none when it does not exist. */
export function childrenOf(pid: number): number[] {
  const listed = readProc(pid, `task/${pid}/children`);
  if (listed !== undefined) return listed.split(" ").filter(isDigits).map(Number);
  // Kernels may be built without that file.
  return fs
    .readdirSync("/proc")
    .filter(isDigits)
    .map(Number)
    .filter((other) => readProcessStat(other)?.parent === pid);
}

/** The network namespace a process lives in; undefined when the process does not exist or is a zombie. @throws KernelError */
export function netnsOf(pid: number): NamespaceId | undefined {
  try {
    return namespaceId(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return asKernel(`read ${file} of process ${pid}`, () => fs.readFileSync(`/proc/${pid}/${file}`, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

function isDigits(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text);
}

const sigterm = 15;
const sigkill = 9;
const killDeadlineMs = 5000;

/** Whether any process lives in a network namespace. Looks at every process there is: some ten microseconds each. */
export function isInhabited(namespace: NamespaceId): boolean {
  return fs.readdirSync("/proc").some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const own = visibleNetns(Number(entry));
    return own !== undefined && sameNamespace(own, namespace);
  });
}

/** Processes that may not be looked at, such as a container's own init seen from inside, have come from elsewhere. */
function visibleNetns(pid: number): NamespaceId | undefined {
  try {
    return netnsOf(pid);
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
