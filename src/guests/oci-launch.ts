import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import { type ResourceLimits, setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, killCgroup, memoryEvents, pidsRefused, removeCgroup } from "../kernel/cgroups.ts";
import { Pidfd, waitForExit } from "../kernel/processes.ts";
import { type DirectoryChanges, watchDirectory } from "./directory-changes.ts";
import { lastLines, type LogLimits } from "./guest-log.ts";
import type { OciLayout } from "./oci-layout.ts";
import { limitFaults } from "./oci-limits.ts";
import { confinementFaults, findInit, hasExecuted, type InitProcess, readPid, recordInit } from "./oci-process.ts";
import { readExit, type RuntimeCommand, supervise, supervisorPid } from "./supervisor.ts";

/** One container to be started: its directory holds a root file system and a config.json. */
export type Launch = {
  id: string;
  layout: OciLayout;
  runtime: RuntimeCommand;
  cgroups: CgroupHost;
  /** The group that carries the limits; the container's own is below it, and made and removed by the runtime. */
  cgroup: string;
  limits: ResourceLimits;
  /** Absent when the container makes a network namespace of its own. */
  netns: string | undefined;
  deadlineMs: number;
  log: LogLimits;
};

/** A container seen running its program, or one that ran it and ended already. */
export type Launched = { kind: "running"; init: InitProcess; limits: ResourceLimits } | { kind: "ended"; limits: ResourceLimits };

/**
 * How long the runtime and the supervisor may take to write the exit status down. A namespace ends only when all its dead are
 * reaped, and those whose parent went are reaped by the host's init, which may be slow.
 */
export const handOverMs = 5000;

/**
 * Starts a container and verifies it: it runs its own program, in the namespaces asked for, below the limits asked for.
 * @throws NexusError `limit-refused` or `runtime-failed` with the runtime's own words; nothing is left running then
 */
export async function launch(run: Launch): Promise<Launched> {
  clearRun(run);
  await killCgroup(run.cgroups, run.cgroup);
  removeCgroup(run.cgroups, run.cgroup);
  try {
    const limits = setLimits(run.cgroups, run.cgroup, run.limits);
    using changes = watchDirectory(run.layout.directory);
    supervise(run.layout, run.runtime, { args: runArguments(run), log: run.log });
    const init = await untilUp(run, changes);
    if (init === undefined) return { kind: "ended", limits };
    recordInit(run.layout, init);
    const faults = await faultsOf(run, init.pid, changes);
    if (faults === "ended") return { kind: "ended", limits };
    if (faults.length === 0) return { kind: "running", init, limits };
    throw new NexusError("runtime-failed", `container ${run.id} is not confined as asked: ${faults.join("; ")}`, {
      details: { runtime: run.runtime },
    });
  } catch (error) {
    await endRun(run);
    removeCgroup(run.cgroups, run.cgroup);
    throw error;
  }
}

/**
 * Ends whatever is left of a run: container, runtime, supervisor. When this returns, the container has no process any more.
 * @throws NexusError `timeout` when something hangs
 */
export async function endRun(run: Ending): Promise<void> {
  // The container first, so that the runtime can still clear up and the supervisor write the exit status.
  using init = openInit(run);
  init?.signal(sigkill);
  await killCgroup(run.cgroups, run.cgroup);
  // Its processes may all have been moved out of the cgroup; with number 1 the kernel ends every one (pid_namespaces(7)).
  if (init !== undefined) await waitForExit(init, { timeoutMs: handOverMs });
  if (supervisorPid(run.layout) === undefined) return;
  using changes = watchDirectory(run.layout.directory);
  const end = performance.now() + handOverMs;
  while (supervisorPid(run.layout) !== undefined && performance.now() < end) {
    await changes.next(readExit(run.layout) === undefined ? 100 : 1);
  }
  const left = supervisorPid(run.layout);
  if (left !== undefined) killSession(left);
  await killCgroup(run.cgroups, run.cgroup);
}

/** The container's init while it lives, held so that its number cannot come to mean another. */
export function openInit(run: Ending): Pidfd | undefined {
  const found = findInit(run.layout, run.cgroup);
  using stack = new DisposableStack();
  const init = found === undefined ? undefined : Pidfd.open(found.pid);
  if (init === undefined) return undefined;
  stack.use(init);
  if (findInit(run.layout, run.cgroup)?.pid !== init.pid) return undefined;
  stack.move();
  return init;
}

/** The words of the runtime about what went wrong, oldest first. */
export function runtimeErrors(layout: OciLayout): string[] {
  return textOf(layout.runtimeLog)
    .split("\n")
    .flatMap((line) => {
      try {
        const entry = JSON.parse(line) as { level?: unknown; msg?: unknown };
        return (entry.level === "error" || entry.level === "fatal") && typeof entry.msg === "string" ? [entry.msg] : [];
      } catch {
        return [];
      }
    });
}

/** Arguments every call of the runtime for this container begins with. */
export function runtimeArguments(layout: OciLayout, log: string): string[] {
  return ["--root", layout.runtimeState, "--log", log, "--log-format", "json"];
}

function runArguments({ id, layout }: Launch): string[] {
  return [...runtimeArguments(layout, layout.runtimeLog), "run", "--bundle", layout.directory, "--pid-file", layout.pid, id];
}

function clearRun({ layout }: Launch): void {
  for (const path of [
    layout.exit,
    layout.status,
    layout.pid,
    layout.init,
    layout.supervisor,
    layout.runtimeLog,
    layout.ended,
    layout.killed,
  ])
    rmSync(path, { force: true });
  rmSync(layout.runtimeState, { recursive: true, force: true });
  writeFileSync(layout.runtimeLog, "", { mode: 0o600 });
}

/** The init once it executes the guest's program; undefined when that ended before it could be seen. */
async function untilUp(run: Launch, changes: DirectoryChanges): Promise<InitProcess | undefined> {
  const end = performance.now() + run.deadlineMs;
  for (;;) {
    const exit = readExit(run.layout);
    const pid = readPid(run.layout.pid);
    if (exit !== undefined) {
      const errors = runtimeErrors(run.layout);
      if (exit.code !== 0 && (pid === undefined || errors.length > 0)) throw refusal(run, errors);
      return undefined;
    }
    if (pid !== undefined && hasExecuted(pid)) {
      const init = findInit(run.layout, run.cgroup);
      if (init !== undefined) return init;
    }
    if (performance.now() > end) {
      throw new NexusError("timeout", `container ${run.id} was not up within ${run.deadlineMs} ms`, {
        details: { runtime: run.runtime, said: runtimeErrors(run.layout), output: lastLines(run.layout.log, 10) },
      });
    }
    // Between the pid file and the program's execve lie a millisecond or two, and nothing to wait on.
    await changes.next(pid === undefined ? 100 : 1);
  }
}

function refusal(run: Launch, errors: string[]): NexusError {
  const words = errors.length > 0 ? errors.join("; ") : lastLines(run.layout.log, 5).join("; ") || "it said nothing";
  const details = { runtime: run.runtime, said: words };
  if (run.limits.memoryBytes !== undefined && memoryEvents(run.cgroups, run.cgroup).limitReached) {
    return new NexusError("limit-refused", `a container cannot start within ${run.limits.memoryBytes} bytes of memory: ${words}`, {
      details,
      hint: "give it more memory",
    });
  }
  if (run.limits.pids !== undefined && pidsRefused(run.cgroups, run.cgroup) > 0) {
    return new NexusError("limit-refused", `a container cannot start within ${run.limits.pids} processes: ${words}`, {
      details,
      hint: "allow it more processes",
    });
  }
  return new NexusError("runtime-failed", `${run.runtime.program} refused container ${run.id}: ${words}`, { details });
}

/** What an ending process may take where the processor is busy with others. */
const endingMs = 1000;

/** A process that is just ending leaves its groups and namespaces before it is seen to be gone: faults count only when they last. */
async function faultsOf(run: Launch, pid: number, changes: DirectoryChanges): Promise<string[] | "ended"> {
  const end = performance.now() + endingMs;
  for (;;) {
    const faults = [...confinementFaults(pid, run.netns), ...limitFaults(run, pid)];
    if (faults.length === 0) return faults;
    if (readExit(run.layout) !== undefined || findInit(run.layout, run.cgroup) === undefined) return "ended";
    if (performance.now() > end) return faults;
    await changes.next(5);
  }
}

type Ending = Pick<Launch, "layout" | "cgroups" | "cgroup">;

const sigkill = 9;

function killSession(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
