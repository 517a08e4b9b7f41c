import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { NexusError } from "../base/errors.ts";
import { type ResourceLimits, setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, enterCgroupAside, killCgroup, removeCgroup } from "../kernel/cgroups.ts";
import type { Fd } from "../kernel/console-socket.ts";
import { raiseLoopback } from "../kernel/loopback.ts";
import { mountsOf } from "../kernel/mount-trees.ts";
import { inNetns } from "../kernel/namespaces.ts";
import { childrenOf, Pidfd } from "../kernel/processes.ts";
import { closeAllOnExec, memoryFile } from "../kernel/stdio.ts";
import { bubblewrapCommand, filterFd, gateFd, stagedMounts } from "./bubblewrap-arguments.ts";
import { type Confinement, confinementFaults } from "./bubblewrap-confinement.ts";
import { Gate } from "./bubblewrap-gate.ts";
import type { Identities, Ids } from "./bubblewrap-owner.ts";
import { endOf } from "./bubblewrap-process.ts";
import type { Stage } from "./bubblewrap-stage.ts";
import { openStreams, type Streams } from "./bubblewrap-streams.ts";
import type { SandboxExit, SandboxPlan } from "./sandbox.ts";

/** What all sandboxes of a daemon are made from. */
export type Ground = {
  program: string;
  stage: Stage;
  identities: Identities;
  namespaces: { takeOrMake(): Fd };
  cgroups: { host: CgroupHost; parent: string };
  /** Of system calls, compiled. */
  filter: Uint8Array;
};

/** What must be known of a run before its sandbox is made. */
export type Wanted = {
  network: "own" | "host";
  terminal?: SandboxPlan["terminal"];
  /** Who it is on the host; a user of its own by default. */
  as?: Ids;
};

/** A sandbox that is up, confined, looked at and idle: its first process waits for a job. */
export type Prepared = AsyncDisposable &
  Up & {
    ids: Ids;
    cgroup: { host: CgroupHost; path: string };
    netns: Fd | undefined;
    /** Its mount namespace. */
    mounts: Fd;
  };

/**
 * Makes a sandbox in which nothing runs yet. Limits hold from its first instruction on; those of the run replace them later.
 * @throws NexusError `runtime-failed` with bubblewrap's words, `limit-refused`, `timeout`; KernelError
 */
export async function prepare(ground: Ground, wanted: Wanted): Promise<Prepared> {
  await using stack = new AsyncDisposableStack();
  const { host } = ground.cgroups;
  const own = stack.use(ground.identities.take());
  const ids = wanted.as ?? own.ids;
  const cgroup = { host, path: `${ground.cgroups.parent}/${process.pid}-${own.ids.uid}-${Date.now().toString(36)}` };
  stack.defer(() => removeCgroup(host, cgroup.path));
  setLimits(host, cgroup.path, idleLimits);
  const netns = wanted.network === "host" ? undefined : stack.use(ground.namespaces.takeOrMake());
  if (netns !== undefined) raiseLoopback(netns);
  const spawned = ground.stage.enter(ids, () => spawnStaged(ground, wanted, { ids, netns }));
  const up = await bringUp(spawned, { ownNetwork: netns !== undefined, cgroup }, stack);
  const mounts = stack.use(mountsOf(up.init.pid));
  const all = stack.move();
  return { ...up, ids, cgroup, netns, mounts, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** A bubblewrap that was started, and what its command will read and write. */
export type Spawned = { child: ChildProcess; streams: Streams };

/** A sandbox whose first process waits for a job. */
export type Up = { ended: Promise<SandboxExit>; init: Pidfd; gate: Gate; streams: ReturnType<Streams["ours"]> };

/** Opens the gate before bubblewrap, waits for the sandbox and looks at it. What must end is put on the stack at once. @throws as `prepare` */
export async function bringUp({ child, streams }: Spawned, asked: Confinement, stack: AsyncDisposableStack): Promise<Up> {
  const { cgroup } = asked;
  const ended = endOf(child, cgroup);
  const ours = streams.ours();
  stack.defer(() => {
    for (const stream of [ours.stdin, ours.stdout, ours.stderr]) stream?.destroy();
  });
  stack.defer(async () => {
    child.kill("SIGKILL");
    if (cgroup !== undefined) await killCgroup(cgroup.host, cgroup.path);
    await ended;
  });
  if (child.pid === undefined) throw new NexusError("runtime-missing", "no sandbox can be made: /bin/sh cannot be run");
  if (cgroup !== undefined) await enterCgroupAside(cgroup.host, cgroup.path, child.pid);
  const gate = new Gate(child.stdio[gateFd] as Duplex);
  stack.defer(() => gate.close());
  gate.write("\n");
  if ((await gate.line()) === undefined) throw new NexusError("runtime-failed", `bubblewrap made no sandbox: ${await wordsOf(ours)}`);
  const init = stack.use(firstProcess(child.pid));
  const faults = confinementFaults(init.pid, asked);
  if (faults.length > 0) throw new NexusError("runtime-failed", `a sandbox is not confined as asked: ${faults.join("; ")}`);
  return { ended, init, gate, streams: ours };
}

/** What was said instead of coming up, in one line. */
export async function wordsOf(streams: Prepared["streams"]): Promise<string> {
  let text = "";
  for await (const piece of streams.stderr ?? streams.stdout) if (text.length < 4096) text += String(piece);
  return text.trim().replaceAll(/\s*\n\s*/g, "; ") || "it said nothing";
}

/** In the stage and, for the child alone, in its network. */
function spawnStaged(ground: Ground, wanted: Wanted, { ids, netns }: { ids: Ids; netns: Fd | undefined }): Spawned {
  const shape = { mounts: stagedMounts(ground.stage.masks), terminal: wanted.terminal !== undefined };
  const streams = openStreams(ids, wanted.terminal, "/root/dev/pts/ptmx");
  return spawnBubblewrap({ command: bubblewrapCommand(ground.program, shape), filter: ground.filter, streams, ids, netns });
}

/** Takes the streams over. The child has nothing of what is open here but what it is given. @throws KernelError */
export function spawnBubblewrap(run: {
  command: [string, ...string[]];
  filter: Uint8Array;
  streams: Streams;
  /** Who it is; the caller itself by default. */
  ids?: Ids;
  netns?: Fd | undefined;
  extra?: readonly number[];
}): Spawned {
  const { streams, netns } = run;
  using stack = new DisposableStack();
  stack.use(streams.theirs);
  using failed = new DisposableStack();
  failed.defer(() => streams.close());
  const { stdin, stdout, stderr } = streams.theirs;
  const stdio: (number | "pipe")[] = [stdin.number, stdout.number, stderr.number];
  stdio[gateFd] = "pipe";
  stdio[filterFd] = stack.use(memoryFile("filter", run.filter)).number;
  stdio.push(...(run.extra ?? []));
  const [program, ...words] = run.command;
  closeAllOnExec();
  const start = (): ChildProcess => spawn(program, words, { stdio, cwd: "/", env: cleanEnvironment, ...run.ids });
  const child = netns === undefined ? start() : inNetns(netns, start);
  failed.move();
  return { child, streams };
}

/** The child of the bubblewrap outside. @throws NexusError when it ended meanwhile */
function firstProcess(outside: number): Pidfd {
  const [pid] = childrenOf(outside);
  const init = pid === undefined ? undefined : Pidfd.open(pid);
  if (init === undefined) throw new NexusError("runtime-failed", "a sandbox ended before its command was run");
  return init;
}

/** Of bubblewrap and the shell that waits; the command's is its plan's. */
const cleanEnvironment = { PATH: "/usr/bin:/bin", LC_ALL: "C" };
/** Enough for a shell that waits. */
const idleLimits: ResourceLimits = { memoryBytes: 64 << 20, cpus: 1, pids: 16 };
