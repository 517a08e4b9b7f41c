import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName, Name } from "../base/names.ts";
import type { Cidr } from "../base/prefix.ts";
import type { GuestExit } from "../spec/views.ts";
import type { ShareType, VmDisk, VmSpec } from "../spec/vm.ts";
import type { ExecRequest, ExecSession } from "./driver.ts";
import type { GuestFiles } from "./guest-files.ts";
import type { GuestAgent } from "./qga.ts";

/**
 * How one network card reaches its network. `queues` are descriptors of an open tap, one a queue: QEMU gets copies, so the tap lives as
 * long as the card. `link` is one whose queues are not open yet, or not here.
 */
export type TapHandover = { name: IfName } & ({ kind: "queues"; fds: readonly number[] } | { kind: "link"; queues: number });

/** One card on a network, its addresses known before the boot. */
export type VmNic = {
  /** QEMU knows the card by it for as long as it is there; of several cards the one with the lowest comes first. */
  number: number;
  tap: TapHandover;
  mac: Mac;
  mtuBytes: number;
  addresses: readonly Cidr[];
  gateways: readonly Ip[];
  /** vhost-net moves packets in the kernel; true only where /dev/vhost-net was seen to work. */
  vhost: boolean;
};

/** What the driver is given to run: everything decided, nothing to look up. */
export type VmPlan = {
  /** Unique for the life of the state directory. */
  id: string;
  name: Name;
  spec: VmSpec;
  /** Of this guest alone, 0700; the driver keeps everything it makes there. */
  directory: string;
  /** One for each of `spec.networks`, in order; empty means user mode. Only `start` opens what is in them. */
  nics: readonly VmNic[];
  /** Of the card in user mode. */
  userMac: Mac;
  hostname: string;
  nameservers: readonly Ip[];
  searchDomains: readonly string[];
  /** Undefined leaves the guest as its image has it. */
  setup?: VmSetupTexts;
};

/** How a guest is told what it is to become; which of the two depends on its image, what it mounts by on the host. @throws SpecError for user data that cannot be merged */
export type VmSetupTexts = {
  /** For an image with a disk: the CD image that cloud-init looks for. */
  seed: (shares: ShareType) => Promise<Uint8Array>;
  /** For one without: a script for its shell, run after each boot. Undefined when there is nothing to do. */
  script: (shares: ShareType) => string | undefined;
};

/** "tcg" is emulation; `why` says what was tried. */
export type Acceleration = { kind: "kvm" | "tcg"; why: string };

export type VmStatus =
  | { kind: "absent" }
  | {
      kind: "running";
      pid: number;
      startedAt: string;
      /** What QEMU says of the processors: running, paused, suspended, guest-panicked, … (qapi/run-state.json). */
      run: string;
      accel: Acceleration;
      /** As whom QEMU runs, and under root's daemon why as root. */
      user?: { uid: number; why?: string };
      /** Host port that leads to the guest's SSH, in user mode. */
      sshPort?: number;
      /** Whether the guest's agent holds its channel open. */
      agent: boolean;
    }
  | { kind: "exited"; exit: GuestExit };

/** A raw terminal on the guest's first serial port. Who joins sees what comes from then on; `logs` has the rest. */
export type ConsoleSession = Disposable & { input: NodeJS.WritableStream; output: NodeJS.ReadableStream };

/** Memory as the balloon has it, bytes. */
export type BalloonState = { actualBytes: number };

/** Virtual machines by one way of running them. Every call may be repeated; `remove` leaves nothing behind. */
export type VmDriver = {
  /** Image, disks, firmware; validates what can only be known now. */
  prepare(plan: VmPlan, progress: (line: string) => void): Promise<void>;
  /** Starts and verifies: the monitor answers and says that the processors run. @throws NexusError; nothing is left running then */
  start(plan: VmPlan): Promise<Exclude<VmStatus, { kind: "absent" }>>;
  observe(plan: VmPlan): Promise<VmStatus>;
  /** Resolves when the guest has ended, whoever started it. */
  waitExit(plan: VmPlan, signal: AbortSignal): Promise<GuestExit>;
  /** Asks the guest to power off by its button and its agent; after the grace QEMU is told to quit, then killed. */
  stop(plan: VmPlan, graceMs: number): Promise<"graceful" | "forced" | "not-running">;
  remove(guest: Pick<VmPlan, "id" | "directory">): Promise<void>;
  /** By the guest's agent. @throws NexusError `timeout` when it does not answer */
  exec(plan: VmPlan, request: ExecRequest): Promise<ExecSession>;
  /** Files inside, by the guest's agent while it runs. */
  files(plan: VmPlan): GuestFiles;
  logs(plan: VmPlan, options: { follow: boolean; tailLines?: number; signal: AbortSignal }): AsyncIterable<Uint8Array>;
  list(): Promise<string[]>;
  console(plan: VmPlan): Promise<ConsoleSession>;
  /** The guest's agent, in step and answering, shared with whoever else holds it; the caller disposes the lease. @throws NexusError `timeout` */
  agent(plan: VmPlan, options: { timeoutMs: number; signal?: AbortSignal }): Promise<Disposable & { value: GuestAgent }>;
  /** Numbers of the cards on networks, and names of the further disks, that a running guest has. */
  devices(plan: VmPlan): Promise<{ nics: number[]; disks: string[] }>;
  /** Adds a card while the guest runs; the guest has to bring it up. Its tap's queues are open here. @throws NexusError */
  addNic(plan: VmPlan, nic: VmNic): Promise<void>;
  /** @throws NexusError `timeout` when the guest does not let go of it */
  removeNic(plan: VmPlan, number: number): Promise<void>;
  /** One that is to be made is made. @throws NexusError */
  addDisk(plan: VmPlan, disk: VmDisk): Promise<void>;
  removeDisk(plan: VmPlan, name: string): Promise<void>;
  /** The numbers under which a running guest's QEMU has the queues of its taps open, by the taps' names. */
  tapQueues(plan: Pick<VmPlan, "directory">): ReadonlyMap<string, readonly number[]>;
  /** Asks the guest for memory back, or gives it back. Bytes; what the guest agreed to is the answer. */
  setBalloon(plan: VmPlan, bytes: number): Promise<BalloonState>;
};
