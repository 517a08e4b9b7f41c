import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName, Name } from "../base/names.ts";
import type { Prefix } from "../base/prefix.ts";
import type { FacilitySpec } from "../spec/facility.ts";
import type { NetworkSpec } from "../spec/network.ts";
import type { AttachmentSpec, NodeSpec, PublishSpec } from "../spec/node.ts";
import type { VmSpec } from "../spec/vm.ts";
import type { RunExit, RunReason, RunState, RunView } from "../spec/run-view.ts";
import type { GuestExit, GuestState } from "../spec/views.ts";

/** What state keeps, as the daemon handles it. Times are milliseconds since the epoch; absent is undefined. */

/** Made once per state directory, and never changed. */
export type Identity = {
  /** 128 random bits, hex: part of every MAC we make, so that two hosts on one LAN never agree. */
  instance: string;
  /** 40 random bits for unique-local prefixes (RFC 4193 §3.2.1). */
  hostId: bigint;
  createdAt: number;
};

export type NetworkRow = {
  name: Name;
  /** 1-16,777,215, in the link group of its interfaces. */
  index: number;
  bridge: IfName;
  mac: Mac;
  spec: NetworkSpec;
  createdAt: number;
  subnets: SubnetRow[];
};

export type SubnetRow = { prefix: Prefix; gateway: Ip };

/** What is wanted of a guest. `absent`: it was removed, and its kernel objects are still going. */
export type Desired = "running" | "stopped" | "absent";

/** The part of a guest that changes while it lives. Written whole. */
export type Lifecycle = {
  desired: Desired;
  state: GuestState;
  exit: GuestExit | undefined;
  problem: string | undefined;
  restarts: number;
  /** Counts how often its interfaces were made. */
  epoch: number;
  runtime: string | undefined;
  startedAt: number | undefined;
};

export type GuestRow = Lifecycle & {
  id: string;
  name: Name;
  createdAt: number;
} & ({ kind: "container"; spec: NodeSpec } | { kind: "vm"; spec: VmSpec } | { kind: "netns"; spec: AttachmentSpec });

export type AttachmentRow = { nic: number; network: Name; hostInterface: IfName; mac: Mac; epoch: number };

export type LeaseRow = { network: Name; address: Ip; nic: number; since: number };

/** A guest with everything it holds: one unit, created and removed in one transaction. */
export type GuestRecord = GuestRow & { attachments: AttachmentRow[]; leases: LeaseRow[]; publishes: PublishSpec[] };

/** The last address an owner held on a network. */
export type RememberedRow = { network: Name; owner: string; address: Ip };

export type EventRow = {
  id: number;
  at: number;
  kind: string;
  subject: string;
  message: string;
  details: Record<string, unknown> | undefined;
};

/** `making` and `leaving` are what a crash may leave; both are gone after the next start. */
export type FacilityRow = {
  name: Name;
  /** 1-65,535, in the uid its files belong to. */
  index: number;
  spec: FacilitySpec;
  state: "making" | "ready" | "leaving";
  /** The run that has the lock, and since when. */
  lock: { run: string; since: number } | undefined;
  /** Goes up with every lock that is taken or broken. */
  epoch: number;
  createdAt: number;
};

/** Whose address a lease is, across removals: `<guest>/<nic>`. */
export function ownerOf(guest: Name, nic: number): string {
  return `${guest}/${nic}`;
}

/** One sandboxed command: the part that changes while it lives is written whole. */
export type RunRow = RunProgress & {
  id: string;
  uid: number;
  spec: RunView["spec"];
  detached: boolean;
  createdAt: number;
};

export type RunProgress = {
  driver: string | undefined;
  limitedBy: RunView["limitedBy"];
  /** The root file system it was given, in words. */
  root: string | undefined;
  state: RunState;
  reason: RunReason | undefined;
  message: string | undefined;
  exit: RunExit | undefined;
  output: RunView["output"];
  egress: RunView["egress"];
  startedAt: number | undefined;
  endedAt: number | undefined;
  /** Whether nothing of its sandbox is left on the host. */
  swept: boolean;
};
