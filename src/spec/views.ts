import type { EgressWish } from "./egress-wish.ts";
import type { LabelSet } from "./labels.ts";
import type { NetworkSpec } from "./network.ts";
import type { NodeSpec, PublishSpec } from "./node.ts";
import type { VmSpec } from "./vm.ts";
import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName, Name } from "../base/names.ts";
import type { Cidr, Prefix } from "../base/prefix.ts";

/** What the API answers: read types, plain JSON. */

export type NetworkView = {
  name: Name;
  bridge: IfName;
  /** Link group number of all its interfaces: 0x4e000000 | index. */
  group: number;
  mac: Mac;
  subnets: { prefix: Prefix; gateway: Ip; reserved: Prefix[]; leased: number; size: number }[];
  mtuBytes: number;
  mtu: NetworkSpec["mtu"];
  dns: Ip[];
  nat: boolean;
  isolation: NetworkSpec["isolation"];
  internal: boolean;
  dhcp: boolean;
  peers: Name[];
  /** Absent where nothing is restricted. */
  egress?: EgressWish;
  state: "up" | "degraded";
  problem?: string;
  leases: LeaseView[];
  counters?: { packets: number; bytes: number };
  createdAt: string;
  labels: LabelSet;
  /** What was asked, as networkSpec wrote it out. */
  spec: NetworkSpec;
};

export type LeaseView = { address: Ip; guest: Name; nic: string; mac: Mac; since: string };

export type AttachmentView = {
  network: Name;
  nic: string;
  hostInterface: IfName;
  mac: Mac;
  addresses: Cidr[];
  gateways: Ip[];
  mtuBytes: number;
};

export type GuestState = "created" | "starting" | "running" | "stopping" | "stopped" | "exited" | "failed";

export type GuestExit = { code: number; signal?: string; oomKilled: boolean; at: string; lastLines: string[] };

/** Limits as the kernel gave them back, not as they were asked. */
export type LimitsView = { memoryBytes?: number; cpuShares?: number; cpus?: number; pids?: number };

export type GuestView = {
  name: Name;
  kind: "container" | "vm" | "netns";
  state: GuestState;
  image?: string;
  pid?: number;
  startedAt?: string;
  createdAt: string;
  restarts: number;
  exit?: GuestExit;
  problem?: string;
  attachments: AttachmentView[];
  publish: PublishSpec[];
  netns?: string;
  limits?: LimitsView;
  runtime?: string;
  health?: HealthView;
  /** Of a virtual machine that runs and had something to set up in itself. */
  setup?: SetupView;
  /** Of a virtual machine that runs: hardware or emulation, and why. */
  acceleration?: { kind: "kvm" | "tcg"; why: string };
  /** Of a virtual machine that runs: the user of the host that QEMU is, and why that is root. */
  runsAs?: { uid: number; why?: string };
  /** Port of 127.0.0.1 that leads to its SSH, in user mode. */
  sshPort?: number;
  /** Who SSH logs in as, where that is known. */
  sshUser?: string;
  /** What was asked, as nodeSpec or vmSpec wrote it out. */
  spec?: NodeSpec | VmSpec;
};

/** What the last probes found; `said` is why the last one failed. */
export type HealthView = { state: "starting" | "healthy" | "unhealthy"; failures: number; said?: string };

/** How far a virtual machine is with its set-up; `said` is what failed, and its last word. */
export type SetupView = { state: "pending" | "done" | "failed"; said?: string };

/** Data that outlives guests. A volume is `unused` until its first guest makes it a directory or a disk. */
export type VolumeView = {
  name: Name;
  kind: "directory" | "disk" | "unused";
  path: string;
  usedBy: Name[];
  changedAt: string;
  /** What a disk takes on the host. */
  sizeBytes?: number;
  labels: LabelSet;
};

/** A workspace of sandboxed commands. */
export type FacilityView = {
  name: Name;
  state: "making" | "ready" | "leaving";
  /** The directory of the host that commands work in. */
  path: string;
  sizeBytes: number;
  usedBytes?: number;
  /** disk: it ends at its size. watch: a run that passes it is ended. */
  limit: "disk" | "watch";
  /** Whose its files are, on the host. */
  uid: number;
  clone?: { url: string; ref?: string };
  /** The run that has it, and since when. */
  lock?: { run: string; since: string };
  /** Goes up with every lock taken or broken. */
  epoch: number;
  createdAt: string;
  labels: LabelSet;
};

/** How a facility's files differ from what they were. */
export type FacilityDiffView = {
  since: "create" | "run";
  /** What `git apply` takes, in base64: whole files' parts, up to the limit. */
  patch: string;
  /** More differs than the patch, or the list, has. */
  truncated: boolean;
  /** Lines added and removed, of what is text. A path that is no UTF-8 shows U+FFFD; then `pathBytes` has it in base64. */
  files: { path: string; pathBytes?: string; added?: number; removed?: number }[];
} & LeftOutView;

/** Files that patterns mean; paths are relative to the facility's directory. */
export type ArtifactsView = { files: { path: string; sizeBytes: number; mode: number }[] } & LeftOutView;

/** The first hundred of what could not be taken, and how many there are. */
export type LeftOutView = { leftOut: { path: string; why: string }[]; leftOutCount: number };

/** One thing that happened, in the order it happened. */
export type EventView = { id: number; at: string; kind: string; subject: string; message: string; details?: Record<string, unknown> };

/** Why a packet passes or not: the verdict, the rule or route that decides, and the way there. */
export type WhyView = {
  verdict: "allow" | "deny";
  reason: string;
  rule: string;
  path: { step: string; result: string }[];
};

export type FileKind = "file" | "directory" | "link" | "pipe" | "socket" | "device";

/** A file inside a guest, as the guest has it. */
export type FileView = {
  /** Its own name, without directories. Bytes that are no UTF-8 show as U+FFFD; then `nameBytes` has them in base64. */
  name: string;
  nameBytes?: string;
  kind: FileKind;
  sizeBytes: number;
  /** Permission bits, with set-user-id, set-group-id and sticky (inode(7)). */
  mode: number;
  modifiedAt: string;
};
