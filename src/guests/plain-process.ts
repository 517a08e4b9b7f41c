import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { NexusError } from "../base/errors.ts";
import { setLimits } from "../kernel/cgroup-limits.ts";
import {
  type CgroupHost,
  type Controller,
  enterCgroup,
  findCgroups,
  isLimitedBy,
  killCgroup,
  memoryEvents,
  removeCgroup,
} from "../kernel/cgroups.ts";
import { openPty } from "../kernel/console-socket.ts";
import { commandCheck, commandRefusal } from "./command-check.ts";
import { endsWithUs } from "./ends-with-us.ts";
import type { SandboxDriver, SandboxExit, SandboxPlan, SandboxProcess } from "./sandbox.ts";
import { terminalOf } from "./terminal.ts";

/**
 * The driver `host`: a plain process of the workspace's owner, with nothing between it and the host but limits. It sees all that
 * its user sees; what it starts ends with it, however it tries to get away, because all of it is in one cgroup.
 */
export function createHostDriver(options: { cgroups?: () => CgroupHost; cgroupParent?: string } = {}): SandboxDriver {
  const cgroups = options.cgroups ?? findCgroups;
  const pathOf = (id: string): string => `${options.cgroupParent ?? "/nexus-runs"}/${id}`;
  return {
    name: "host",
    async check() {
      const trial = pathOf(`check-${process.pid}`);
      try {
        const host = cgroups();
        setLimits(host, trial, { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 8 });
        removeCgroup(host, trial);
        return { works: true, detail: `limits by cgroups (${host.mode})` };
      } catch (error) {
        return { works: false, reason: error instanceof Error ? error.message : String(error), hint: rightsHint };
      }
    },
    start: (plan, signal) => startPlain(plan, { host: cgroups(), path: pathOf(plan.id) }, signal),
    async sweep({ id }) {
      const host = cgroups();
      await killCgroup(host, pathOf(id));
      removeCgroup(host, pathOf(id));
    },
  };
}

const rightsHint = "limits of plain processes need root's daemon; profile untrusted works for every user";
const controllers: readonly Controller[] = ["memory", "cpu", "pids"];

type Group = { host: CgroupHost; path: string };

/**
 * Waits in front of the command until it is in its cgroup: nothing runs outside of it, not for a moment. A daemon that ends
 * meanwhile closes the gate, and nothing runs. The shell sees words as parameters only, never as program text.
 */
const gate = `ulimit -n "$1" || exit 125; shift; read -r go <&3 || exit 125; exec 3<&-; unset PWD OLDPWD
${commandCheck}
${commandRefusal}
exec "$@"`;

async function startPlain(plan: SandboxPlan, group: Group, signal: AbortSignal): Promise<SandboxProcess> {
  const { memoryBytes, cpus, pids } = plan.limits;
  if (plan.egress.kind !== "host")
    throw new NexusError("unsupported", "a plain process cannot be kept from the network", { hint: "profile untrusted can" });
  signal.throwIfAborted();
  await using undo = new AsyncDisposableStack();
  undo.use(await endsWithUs(group.host, group.path));
  undo.defer(async () => {
    await killCgroup(group.host, group.path);
    removeCgroup(group.host, group.path);
  });
  limit(group, { memoryBytes, cpus, pids });
  const started = launch(plan);
  undo.defer(() => void started.child.kill("SIGKILL"));
  await openGate(started.child, group);
  signal.throwIfAborted();
  const kill = () => killCgroup(group.host, group.path);
  const exit = ended(started.child).then(async (code): Promise<SandboxExit> => {
    await kill();
    return { ...code, outOfMemory: memoryEvents(group.host, group.path).oomKills > 0 };
  });
  exit.catch(() => {});
  const kept = undo.move();
  return {
    ...started.streams,
    signal: (name) => signalGroup(started.child, name),
    kill,
    exit,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function limit({ host, path }: Group, limits: { memoryBytes: number; cpus: number; pids: number }): void {
  try {
    setLimits(host, path, limits);
  } catch (error) {
    if (!(error instanceof NexusError) || !/EACCES|EPERM|EROFS/.test(error.message)) throw error;
    throw new NexusError(error.code, error.message, { hint: rightsHint, cause: error });
  }
}

type Started = { child: ChildProcess; streams: Pick<SandboxProcess, "stdin" | "stdout" | "stderr" | "resize"> };

function launch(plan: SandboxPlan): Started {
  const owner = plan.workspace?.owner;
  const words = ["-c", gate, "nexus run", String(plan.limits.openFiles), ...plan.command];
  const settings = {
    cwd: plan.cwd,
    env: plan.env,
    ...(owner === undefined || process.getuid?.() !== 0 ? {} : owner),
  };
  if (plan.terminal === undefined) {
    const child = spawn("/bin/sh", words, { ...settings, detached: true, stdio: ["pipe", "pipe", "pipe", "pipe"] });
    const [stdin, stdout, stderr] = child.stdio as [Writable, Readable, Readable, Writable, null];
    // A command that does not read its input must not break us when it ends.
    stdin.on("error", () => {});
    return { child, streams: { stdin, stdout, stderr, resize() {} } };
  }
  const pty = openPty();
  using peer = pty.peer;
  const terminal = terminalOf(pty.controller);
  const fds = [peer.number, peer.number, peer.number, "pipe"] as const;
  // setsid(1) makes it the controlling terminal, and keeps the number of the process because it leads no group yet.
  const child = spawn("setsid", ["--ctty", "/bin/sh", ...words], { ...settings, stdio: [...fds] });
  const { columns, rows } = plan.terminal;
  terminal.resize(columns, rows);
  const stdin = terminal.stdin as Writable;
  return { child, streams: { stdin, stdout: terminal.stdout, stderr: undefined, resize: terminal.resize } };
}

/** @throws NexusError runtime-failed, limit-refused */
async function openGate(child: ChildProcess, { host, path }: Group): Promise<void> {
  try {
    await once(child, "spawn");
  } catch (error) {
    throw new NexusError("runtime-failed", `the process could not be started: ${error instanceof Error ? error.message : String(error)}`, {
      hint: "the directory it is to work in must be one its user may enter",
      cause: error,
    });
  }
  const pid = child.pid ?? 0;
  enterCgroup(host, path, pid);
  const outside = controllers.find((controller) => !isLimitedBy(host, pid, { controller, path }));
  if (outside !== undefined)
    throw new NexusError("limit-refused", `process ${pid} did not come under the ${outside} limit of cgroup ${path}`, { hint: rightsHint });
  const opener = child.stdio[3] as Writable;
  opener.on("error", () => {});
  opener.end("go\n");
}

function ended(child: ChildProcess): Promise<{ code: number; signal?: NodeJS.Signals }> {
  return new Promise((resolve) =>
    child.once("exit", (code, signal) =>
      resolve(signal === null ? { code: code ?? 0 } : { code: 128 + (constants.signals[signal] ?? 0), signal }),
    ),
  );
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // It has ended by itself.
  }
}
