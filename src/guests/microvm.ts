import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { setLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, enterCgroup, killCgroup, removeCgroup } from "../kernel/cgroups.ts";
import { killedWithUs } from "./ends-with-us.ts";
import { endRun } from "./foreground.ts";
import { microvmArguments } from "./microvm-arguments.ts";
import { kvmDevice } from "./qemu-accel.ts";
import type { Acceleration } from "./qemu-plan.ts";
import { groupsFor } from "./qemu-user.ts";
import { removeTree } from "./remove-tree.ts";
import type { SandboxDriver, SandboxExit, SandboxPlan } from "./sandbox.ts";
import { SandboxMux } from "./sandbox-mux.ts";
import { sandboxUser } from "./trusted-config.ts";

/** What a virtual machine for one command is made of. */
export type MicrovmParts = { kernel: string; initrd: string; cmdline: string; rootDisk: string };

type Workspace = NonNullable<SandboxPlan["workspace"]>;

/** How a workspace gets into a virtual machine, and what became of it out again. */
export type WorkspaceDisk = {
  make: (file: string, workspace: Workspace) => Promise<void>;
  takeBack: (file: string, workspace: Workspace, directory: string) => Promise<void>;
};

export type MicrovmOptions = {
  parts: (signal: AbortSignal) => Promise<MicrovmParts>;
  program: () => Promise<{ path: string; accel: Acceleration }>;
  workspaces: WorkspaceDisk;
  cgroups: CgroupHost;
  /** All runs' cgroups are below it. */
  cgroupParent: string;
};

/** Of QEMU itself, beside the guest's memory. */
const ownBytes = 192 * 1024 * 1024;
/** Threads of QEMU, not processes of the guest. */
const ownThreads = 128;

/**
 * The untrusted profile as a virtual machine: root file system and command on drives the guest cannot write, the workspace on one
 * it can, no network card; what it may reach comes over a virtio port to the same proxy.
 */
export function createMicrovmDriver(options: MicrovmOptions): SandboxDriver {
  const { cgroups } = options;
  const groupOf = (id: string): string => `${options.cgroupParent}/${id}`;
  const users = new Set<number>();
  return {
    name: "qemu",

    async check() {
      try {
        const { path, accel } = await options.program();
        return { works: true, detail: `${path}, ${accel.kind === "kvm" ? "KVM" : `emulated: ${accel.why}`}` };
      } catch (error) {
        if (!(error instanceof NexusError)) throw error;
        return { works: false, reason: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
      }
    },

    async start(plan, signal) {
      if (plan.egress.kind === "host") throw new NexusError("unsupported", "a virtual machine has no part in the host's network");
      const [parts, program] = [await options.parts(signal), await options.program()];
      const cgroup = groupOf(plan.id);
      const { workspace, directory } = plan;
      const files = { command: join(directory, "command"), workspace: join(directory, "workspace"), log: join(directory, "log") };
      const ending = { cgroups, cgroup, remove: () => removeTree(directory) };
      const uid = freeUser(users);
      users.add(uid);
      let killed = false;
      let finished: Promise<void> | undefined;
      const finish = (): Promise<void> => (finished ??= endRun(ending).finally(() => users.delete(uid)));
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        writeFileSync(files.command, commandDrive(plan), { mode: 0o600 });
        if (workspace !== undefined) await options.workspaces.make(files.workspace, workspace);
        await killCgroup(cgroups, cgroup);
        removeCgroup(cgroups, cgroup);
        const { memoryBytes, cpus } = plan.limits;
        setLimits(cgroups, cgroup, { memoryBytes: memoryBytes + ownBytes, cpus, pids: ownThreads });
        signal.throwIfAborted();
        const child = launch(program.path, {
          words: microvmArguments({ plan, parts, accel: program.accel }),
          drives: [
            [parts.kernel, "r"],
            [parts.initrd, "r"],
            [parts.rootDisk, "r"],
            [files.command, "r"],
            ...(workspace === undefined ? [] : ([[files.workspace, "r+"]] as const)),
          ],
          log: files.log,
          // It opens nothing by name but the device of KVM, so it needs no right to anything else.
          user: { uid, gid: (program.accel.kind === "kvm" ? groupsFor(kvmDevice)?.[0] : undefined) ?? uid },
        });
        if (child.pid !== undefined) enterCgroup(cgroups, cgroup, child.pid);
        const told = Promise.withResolvers<{ code: number; outOfMemory: boolean }>();
        told.promise.catch(() => undefined);
        const mux = new SandboxMux({
          port: child.stdio[3] as Duplex,
          serve: plan.egress.kind === "proxy" ? plan.egress.serve : undefined,
          exited: told.resolve,
          broken: (error) => {
            told.reject(error);
            child.kill("SIGKILL");
          },
        });
        const [stdin, stdout, stderr] = [mux.stream(1), mux.stream(2), plan.terminal === undefined ? mux.stream(3) : undefined];
        const ended = new Promise<void>((resolve) => {
          child.once("exit", () => resolve());
          child.once("error", () => resolve());
        });
        const exit = (async (): Promise<SandboxExit> => {
          await ended;
          // The last of the port may be read after the end of who wrote it.
          await Promise.race([told.promise.catch(() => undefined), delay(500)]);
          const said = await Promise.race([told.promise, Promise.resolve(undefined)]);
          mux.end();
          await killCgroup(cgroups, cgroup);
          if (said === undefined && !killed) throw refusal(plan, files.log);
          if (workspace !== undefined) await options.workspaces.takeBack(files.workspace, workspace, directory);
          return said === undefined ? { code: 137, signal: "SIGKILL", outOfMemory: false } : exitOf(said);
        })();
        exit.catch(() => undefined);
        return {
          stdin,
          stdout,
          stderr,
          resize: (columns, rows) => mux.resize(columns, rows),
          signal: (name) => mux.signal(constants.signals[name]),
          async kill() {
            killed = true;
            await killCgroup(cgroups, cgroup);
          },
          exit,
          async [Symbol.asyncDispose]() {
            killed = true;
            await killCgroup(cgroups, cgroup);
            await exit.catch(() => undefined);
            await finish();
          },
        };
      } catch (error) {
        await finish();
        throw error;
      }
    },

    sweep: ({ id, directory }) => endRun({ cgroups, cgroup: groupOf(id), remove: () => removeTree(directory) }),
  };
}

/** Each QEMU is a user of the host that nobody else is: one that its guest has taken over can do nothing to another's. */
function freeUser(taken: ReadonlySet<number>): number {
  let uid = 0x7c00_0000;
  while (taken.has(uid)) uid++;
  return uid;
}

type Launched = { words: string[]; drives: (readonly [path: string, mode: "r" | "r+"])[]; log: string; user: { uid: number; gid: number } };

/** Descriptor 3 is the port, from 4 on the files in their order. */
function launch(program: string, { words, drives, log, user }: Launched) {
  const open: number[] = [];
  try {
    open.push(openSync(log, "wx", 0o600));
    for (const [path, mode] of drives) open.push(openSync(path, mode));
    const [said, ...files] = open as [number, ...number[]];
    const [first, ...rest] = killedWithUs([program, ...words]);
    return spawn(first, rest, { stdio: ["ignore", said, said, "pipe", ...files], cwd: "/", env: {}, ...user });
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** What `runner` reads (src/images/sandbox-vm-files.ts): the number of items, then each with its length. */
export function commandDrive(plan: SandboxPlan): Uint8Array {
  const { uid, gid } = sandboxUser(plan);
  const { terminal } = plan;
  const items = [
    plan.cwd,
    String(uid),
    String(gid),
    String(plan.egress.kind === "proxy" ? plan.egress.port : 0),
    String(terminal?.columns ?? 0),
    String(terminal?.rows ?? 0),
    String(plan.command.length),
    ...plan.command,
    ...Object.entries(plan.env).map(([name, value]) => `${name}=${value}`),
  ];
  const pieces = items.flatMap((item) => {
    const bytes = Buffer.from(item);
    return [u32(bytes.length), bytes];
  });
  const content = Buffer.concat([u32(items.length), ...pieces]);
  // A drive has whole sectors.
  return Buffer.concat([content, Buffer.alloc(-content.length & 511)]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function exitOf({ code, outOfMemory }: { code: number; outOfMemory: boolean }): SandboxExit {
  const signal = (Object.entries(constants.signals) as [NodeJS.Signals, number][]).find(([, number]) => number === code - 128)?.[0];
  return { code, ...(signal === undefined ? {} : { signal }), outOfMemory };
}

function refusal(plan: SandboxPlan, log: string): NexusError {
  const words = readFileSync(log, "utf8").trim().split("\n").slice(-5).join("; ").slice(-1000) || "it said nothing";
  return new NexusError("runtime-failed", `run ${plan.id} could not be held by a virtual machine: ${words}`);
}
