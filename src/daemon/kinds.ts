import type { GuestPlan, GuestStatus } from "../guests/driver.ts";
import type { VmPlan, VmStatus } from "../guests/qemu-plan.ts";
import type { GuestRecord } from "../state/rows.ts";
import type { Lives } from "./lives.ts";

/** Guests that have a life of their own, by kind. */
export type Container = Extract<GuestRecord, { kind: "container" }>;
export type Machine = Extract<GuestRecord, { kind: "vm" }>;

/** What is seen of a guest that runs. */
export type Seen = { kind: "running"; pid: number; startedAt: string };
export type RunningNode = Extract<GuestStatus, { kind: "running" }>;
export type RunningVm = Extract<VmStatus, { kind: "running" }>;

export type Nodes = Lives<Container, GuestPlan, RunningNode>;
export type Vms = Lives<Machine, VmPlan, RunningVm>;
