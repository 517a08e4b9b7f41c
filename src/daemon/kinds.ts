import type { Log } from "../base/log.ts";
import type { GuestPlan, GuestStatus } from "../guests/driver.ts";
import type { VmPlan, VmStatus } from "../guests/qemu-plan.ts";
import type { GuestExit } from "../spec/views.ts";
import type { GuestRecord } from "../state/rows.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Guests } from "./guests.ts";
import type { Lives } from "./lives.ts";

/** Guests that have a life of their own, by kind. */
export type Container = Extract<GuestRecord, { kind: "container" }>;
export type Machine = Extract<GuestRecord, { kind: "vm" }>;

/** What is seen of a guest that runs. */
export type Seen = { kind: "running"; pid: number; startedAt: string };

/** What a life needs of a driver. */
export type LifeDriver<Plan, Running extends Seen> = {
  prepare(plan: Plan, progress: (line: string) => void): Promise<void>;
  start(plan: Plan): Promise<Running | Ended>;
  observe(plan: Plan): Promise<{ kind: "absent" } | Running | Ended>;
  waitExit(plan: Plan, signal: AbortSignal): Promise<GuestExit>;
  stop(plan: Plan, graceMs: number): Promise<unknown>;
  remove(plan: Plan): Promise<void>;
};
export type Ended = { kind: "exited"; exit: GuestExit };

export type LivesOptions<Guest, Plan, Running extends Seen> = {
  /** What guests of this kind are called on the command line and in events. */
  noun: "node" | "vm";
  isOurs: (guest: GuestRecord) => guest is Guest & GuestRecord;
  guests: Guests;
  driver: LifeDriver<Plan, Running>;
  /** What must be there before it is prepared: its volumes. */
  furnish: (guest: Guest) => void;
  /** After a restart of the daemon, for one that runs: finishes what a change left half done. Never throws. */
  mend?: (guest: Guest) => Promise<void>;
  chronicle: Chronicle;
  log: Log;
  planOf: (guest: Guest) => Plan;
  /** The program that runs a started guest. */
  runtimeOf: (plan: Plan) => string | undefined;
};

export type RunningNode = Extract<GuestStatus, { kind: "running" }>;
export type RunningVm = Extract<VmStatus, { kind: "running" }>;

export type Nodes = Lives<Container, GuestPlan, RunningNode>;
export type Vms = Lives<Machine, VmPlan, RunningVm>;
