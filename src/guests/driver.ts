import type { GuestExit, LimitsView } from "../spec/views.ts";
import type { NodeSpec } from "../spec/node.ts";
import type { Ip } from "../base/ip.ts";
import type { Name } from "../base/names.ts";
import type { GuestFiles } from "./guest-files.ts";

/** What a driver is given to run: everything decided, nothing to look up. */
export type GuestPlan = {
  /** Unique for the life of the state directory; also the runtime's container id and the cgroup's name. */
  id: string;
  name: Name;
  spec: NodeSpec;
  /** Path of the network namespace, made and attached before start. */
  netns: string;
  /** Of this guest alone, 0700; the driver keeps everything it makes there. */
  directory: string;
  hostname: string;
  nameservers: Ip[];
  searchDomains: string[];
  /** What of the host it sees: a file or directory, and where. */
  volumes: { source: string; target: string; readOnly: boolean }[];
  /** Lines for /etc/hosts: the guest's own addresses. */
  hosts: { address: Ip; names: string[] }[];
};

export type GuestStatus =
  | { kind: "absent" }
  | { kind: "running"; pid: number; startedAt: string; limits: LimitsView }
  | { kind: "exited"; exit: GuestExit };

export type ExecRequest = {
  command: string[];
  env: Record<string, string>;
  cwd?: string;
  /** Present when a terminal is wanted. */
  terminal?: { columns: number; rows: number };
};

/** A command running inside a guest. With a terminal, everything comes on stdout. */
export type ExecSession = {
  stdin: NodeJS.WritableStream;
  stdout: NodeJS.ReadableStream;
  stderr: NodeJS.ReadableStream | undefined;
  resize(columns: number, rows: number): void;
  kill(signal: NodeJS.Signals): void;
  /** 128 + n when signal n ended it. */
  exitCode: Promise<number>;
};

/** One way to run guests. Every call may be repeated; `remove` leaves nothing behind whatever state the guest was in. */
export type GuestDriver = {
  /** Root file system, bundle; validates what can only be known now (image there, command exists). Progress in plain sentences. */
  prepare(plan: GuestPlan, progress: (line: string) => void): Promise<void>;
  /** Starts and verifies: own netns, limits read back; a command that ran and ended already is `exited`. @throws NexusError when the guest did not come up as asked; nothing is left running then. */
  start(plan: GuestPlan): Promise<Exclude<GuestStatus, { kind: "absent" }>>;
  observe(plan: GuestPlan): Promise<GuestStatus>;
  /** Resolves when the guest has ended. Survives a restart of the daemon: works on guests another process started. */
  waitExit(plan: GuestPlan, signal: AbortSignal): Promise<GuestExit>;
  stop(plan: GuestPlan, graceMs: number): Promise<void>;
  /** Needs no more than where the guest was: what a crash left is removed the same way. */
  remove(guest: Pick<GuestPlan, "id" | "directory">): Promise<void>;
  exec(plan: GuestPlan, request: ExecRequest): Promise<ExecSession>;
  /** Files inside, while it runs. */
  files(plan: GuestPlan): GuestFiles;
  logs(plan: GuestPlan, options: { follow: boolean; tailLines?: number; signal: AbortSignal }): AsyncIterable<Uint8Array>;
  /** Ids this driver finds on the host that carry our mark, whether or not state knows them: for finding leftovers. */
  list(): Promise<string[]>;
};
