import type { Duplex, Readable, Writable } from "node:stream";
import type { RootImage } from "./rootfs.ts";

/** Where one command runs and what it may use: everything decided, nothing to look up. Paths are real and absolute. */
export type SandboxPlan = {
  /** Of the run; also the name of its cgroup. Letters, digits and `-`. */
  id: string;
  /** Words, never a shell's text. */
  command: [string, ...string[]];
  /** All of the environment; nothing is inherited. */
  env: Record<string, string>;
  /** As the command sees it. */
  cwd: string;
  /** The directory of the host it may write, and where it sees it. Files made there belong to `owner`. */
  workspace?: { source: string; target: string; owner: { uid: number; gid: number } };
  /** Its root file system, shared and never written to; by default the driver's own. */
  root?: Pick<RootImage, "lower">;
  limits: SandboxLimits;
  egress: SandboxEgress;
  terminal?: { columns: number; rows: number };
  /** Of this run alone, 0700; the driver keeps everything it makes there. */
  directory: string;
};

/** Always all of them: a sandbox without limits does not exist. */
export type SandboxLimits = {
  memoryBytes: number;
  /** Processors' worth of time. */
  cpus: number;
  pids: number;
  openFiles: number;
  /** Of what it writes outside the workspace: /tmp and the like. */
  scratchBytes: number;
};

/**
 * How the command reaches the outside. `proxy`: an address on its own loopback, whose connections are given to `serve`;
 * there is no other way out. `host`: the host's own network, for profiles that say so.
 */
export type SandboxEgress = { kind: "none" } | { kind: "proxy"; port: number; serve: (connection: Duplex) => void } | { kind: "host" };

export type SandboxExit = { code: number; signal?: NodeJS.Signals; outOfMemory: boolean };

/** A command running in a sandbox. With a terminal, everything comes on stdout. */
export type SandboxProcess = AsyncDisposable & {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable | undefined;
  resize(columns: number, rows: number): void;
  /** To the command; processes it made hear of it by its process group. */
  signal(signal: NodeJS.Signals): void;
  /** Everything the command ever started, also what forked twice, is gone when this resolves. @throws NexusError timeout */
  kill(): Promise<void>;
  /** When the command itself ended; what it left running is killed by then. */
  exit: Promise<SandboxExit>;
  /** Said where no cgroup holds it: memory and processes are limited for each process by itself then, and processor time is not. */
  limitedBy?: "rlimits";
  /** Kills, then removes cgroup, namespaces, mounts and scratch. May be repeated. */
  [Symbol.asyncDispose](): Promise<void>;
};

/** One way to run one command apart from the host. */
export type SandboxDriver = {
  name: string;
  /** What it can be given for a root file system; absent when it has but its own. */
  root?: "directory" | "image";
  /** Whether it works here, tried by doing, and if not why and what to do. */
  check(): Promise<{ works: true; detail: string } | { works: false; reason: string; hint?: string }>;
  /** @throws NexusError when the sandbox did not come up as asked: nothing runs then, and nothing weaker is tried */
  start(plan: SandboxPlan, signal: AbortSignal): Promise<SandboxProcess>;
  /** Kills and removes whatever a crash left of this run. May be repeated. */
  sweep(run: Pick<SandboxPlan, "id" | "directory">): Promise<void>;
};
