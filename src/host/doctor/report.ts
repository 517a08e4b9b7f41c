import type { Prefix } from "../../base/prefix.ts";
import type { Outcome } from "../../spec/diagnosis.ts";
import type { Fd } from "../../sys/fd.ts";

export type CheckResult = {
  /** Stable, for scripts: `net-admin`, `forward-policy`, … */
  name: string;
  ok: Outcome;
  /** Without it networks and container nodes do not work. */
  needed: boolean;
  /** What was found, in one line. */
  detail: string;
  /** What to do about it, in one line. */
  remedy?: string;
  /** What --fix did. */
  fixed?: string;
};

/** `ok` is false when something needed is broken. */
export type DoctorReport = { ok: boolean; checks: CheckResult[] };

/** What of this host the doctor is asked about. */
export type DoctorContext = {
  stateDirectory: string;
  socketPath: string;
  /** Configured or existing; routes through a network's own bridge are its own. */
  networks: readonly ConfiguredNetwork[];
  /** Tries every OCI runtime by running a container; given by whoever can run guests. */
  probeRuntimes(): Promise<readonly RuntimeProbe[]>;
  /** Set when the daemon itself asks: it is not "another". */
  daemonPid?: number;
  /** @throws NexusError runtime-missing */
  probeMachines?(): Promise<MachineProbe>;
  /** Drivers of sandboxes by their names, each of which says whether it works, having tried. */
  probeSandboxes?: Readonly<Record<string, () => Promise<SandboxProbe>>>;
  /** What untrusted commands have for a root file system; absent: the host's own programs. */
  sandboxRoot?: SandboxRootReport;
  /** Set for an ordinary user's own daemon: then only what that can do is looked at. */
  user?: { uid: number };
};

/**
 * QEMU's version, and how it would run guests. `unfiltered`: why it cannot filter its own system calls, when it cannot; `noVirtiofs`: why
 * guests get no directories of the host by virtiofs.
 */
export type MachineProbe = {
  version: string;
  acceleration: { kind: "kvm" | "tcg"; why: string };
  unfiltered?: string;
  noVirtiofs?: string;
};

export type SandboxProbe = { works: true; detail: string } | { works: false; reason: string; hint?: string };

/** `name` as it was set; `directory` is undefined for the host's own programs. */
export type SandboxRootReport =
  | { kind: "ready"; name: string; directory: string | undefined }
  | { kind: "coming"; name: string; progress: string | undefined }
  | { kind: "failed"; name: string; reason: string; hint: string | undefined };

export type ConfiguredNetwork = { name: string; bridge: string; prefixes: readonly Prefix[] };
export type RuntimeProbe = { name: string; works: boolean; version?: string; problem?: string };

/** What one check found. `fix` is run only when the user asked for it; it says what it did. */
export type Finding = { ok: Outcome; detail: string; remedy?: string; fix?: () => string };

/** What serves for every right that is missing. Capabilities alone do not: guests also need mounts, namespaces, cgroups and low ports. */
export const runAsRoot = "run nexusd as root, as a system service does";

/** One condition. `probe` leaves nothing behind; what it throws counts as the condition being broken. */
export type Check = {
  name: string;
  needed: boolean;
  probe(context: DoctorContext, scratch: Scratch): Finding | Promise<Finding>;
};

/** An empty network namespace that ends with the examination, or why there is none. */
export type Scratch = { netns: Fd } | { refusal: string };

export function skipped(scratch: { refusal: string }): Finding {
  return { ok: "skip", detail: `needs a network namespace: ${scratch.refusal}` };
}
