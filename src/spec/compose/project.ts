import type { Name } from "../../base/names.ts";
import type { HealthSpec } from "../health.ts";
import type { LabelSet } from "../labels.ts";
import type { NetworkSpec } from "../network.ts";
import type { NodeSpec } from "../node.ts";
import type { RunSpec } from "../run.ts";
import type { VmSpec } from "../vm.ts";
import type { Condition } from "./guest-schema.ts";

/** A compose file with nothing left to look up: every guest and network is a spec the daemon takes. Maps are in the order of the file. */
export type Project = {
  name: Name;
  /** Of the compose file; absolute. */
  directory: string;
  networks: ReadonlyMap<Name, ProjectNetwork>;
  vms: ReadonlyMap<Name, ProjectVm>;
  nodes: ReadonlyMap<Name, ProjectNode>;
  sandboxes: ReadonlyMap<Name, ProjectSandbox>;
  volumes: ReadonlyMap<string, ProjectVolume>;
};

export type ProjectNetwork = {
  /** As the daemon calls it. */
  name: Name;
  /** Undefined for an external one: it is there, or `up` fails. */
  spec: NetworkSpec | undefined;
};

/** A volume; its data stay until somebody removes it by name. */
export type ProjectVolume = {
  /** As the daemon calls it. */
  name: Name;
  external: boolean;
  /** Of the disk made for a virtual machine. */
  sizeBytes: number;
  /** Of one this project makes: whose it is. */
  labels: LabelSet;
};

export type Dependency = {
  condition: Condition;
  /** False: a guest that cannot start or is not there holds nobody up. */
  required: boolean;
};

/** What compose knows of any guest or sandbox beside its spec. */
type Service = {
  /** Its name in the file; the daemon's is PROJECT-SERVICE. */
  service: Name;
  /** False when all its profiles are off. */
  active: boolean;
  profiles: string[];
  dependsOn: ReadonlyMap<Name, Dependency>;
};

type Guest = Service & {
  healthcheck?: HealthSpec;
  /** How long it may take to stop before it is killed. */
  stopGraceMs?: number;
};

export type ProjectNode = Guest & { kind: "container"; spec: NodeSpec };

export type ProjectVm = Guest & {
  kind: "vm";
  spec: VmSpec;
};

export type ProjectGuest = ProjectVm | ProjectNode;

/** A command that is run once. Runs have no names: its own, PROJECT-SERVICE, is compose's alone. */
export type ProjectSandbox = Service & { kind: "sandbox"; name: Name; spec: RunSpec };

export type ProjectService = ProjectGuest | ProjectSandbox;

/** Every guest, virtual machines first. */
export function guestsOf(project: Project): ProjectGuest[] {
  return [...project.vms.values(), ...project.nodes.values()];
}

/** The guests whose profiles are on; a guest without any always is. */
export function activeGuests(project: Project): ProjectGuest[] {
  return guestsOf(project).filter((guest) => guest.active);
}

/** Every guest, then every sandbox. */
export function servicesOf(project: Project): ProjectService[] {
  return [...guestsOf(project), ...project.sandboxes.values()];
}

/** The sandboxes whose profiles are on. */
export function activeSandboxes(project: Project): ProjectSandbox[] {
  return [...project.sandboxes.values()].filter((sandbox) => sandbox.active);
}

/** PROJECT-SERVICE. */
export function nameOf(service: ProjectService): Name {
  return service.kind === "sandbox" ? service.name : service.spec.name;
}
