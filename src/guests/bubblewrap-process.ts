import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { NexusError } from "../base/errors.ts";
import { type CgroupHost, killCgroup, memoryEvents } from "../kernel/cgroups.ts";
import { childrenOf, namespacedPids, type Pidfd } from "../kernel/processes.ts";
import type { Streams } from "./bubblewrap-streams.ts";
import type { SandboxExit, SandboxPlan, SandboxProcess } from "./sandbox.ts";

/** What a sandbox whose command runs consists of. */
export type Running = {
  plan: SandboxPlan;
  ended: Promise<SandboxExit>;
  /** The sandbox's first process, whose end is everybody's. */
  init: Pidfd;
  streams: ReturnType<Streams["ours"]>;
  cgroup: { host: CgroupHost; path: string } | undefined;
  /** Ends and gives back all of it. */
  held: AsyncDisposable;
};

export function sandboxProcess(running: Running): SandboxProcess {
  const { init, streams, cgroup, ended } = running;
  const kill = async (): Promise<void> => {
    init.signal(sigkill);
    if (cgroup !== undefined) await killCgroup(cgroup.host, cgroup.path);
    await within(ended, killDeadlineMs, `sandbox ${running.plan.id} has not ended`);
  };
  let disposed: Promise<void> | undefined;
  return {
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    resize: streams.resize,
    signal: (name) => signalCommand(running, constants.signals[name]),
    kill,
    exit: ended,
    [Symbol.asyncDispose]: () => (disposed ??= Promise.resolve(running.held[Symbol.asyncDispose]())),
  };
}

/** When bubblewrap has ended, and how the command did: it passes a code on, and 128 and the number for a signal. */
export function endOf(child: ChildProcess, cgroup: Running["cgroup"]): Promise<SandboxExit> {
  const { promise, resolve } = Promise.withResolvers<SandboxExit>();
  child.once("error", () => resolve({ code: 127, outOfMemory: false }));
  child.once("exit", (code, signal) => {
    const outOfMemory = code !== 0 && cgroup !== undefined && memoryEvents(cgroup.host, cgroup.path).oomKills > 0;
    if (code !== null) resolve({ code, outOfMemory });
    else resolve({ code: 128 + constants.signals[signal ?? "SIGKILL"], signal: signal ?? "SIGKILL", outOfMemory });
  });
  return promise;
}

/** The first process leads the group the command is in; as the init of a namespace it heeds no signal but SIGKILL and SIGSTOP. */
function signalCommand({ plan, init }: Running, number: number): void {
  if (init.hasExited()) return;
  const leader = plan.terminal === undefined ? init.pid : childrenOf(init.pid).find((pid) => namespacedPids(pid)?.at(-1) === firstChild);
  if (leader === undefined) return;
  try {
    process.kill(-leader, number);
  } catch {
    // It ended by itself.
  }
}

async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new NexusError("timeout", `${what} within ${ms} ms of SIGKILL`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const sigkill = 9;
const firstChild = 2;
const killDeadlineMs = 5000;
