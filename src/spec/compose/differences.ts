import { type EgressWish, noEgress } from "../egress-wish.ts";
import type { NetworkSpec } from "../network.ts";
import type { NetworkRef } from "../node.ts";
import type { VmSpec } from "../vm.ts";
import { type VmSetup, withoutOwnKeys } from "../vm-setup.ts";
import { canonical } from "./names.ts";
import { isRunning, type PresentGuest } from "./present.ts";
import type { ProjectGuest } from "./project.ts";

/** One key of a spec that is not as it is wanted. */
export type Difference = { key: string; is: unknown; wanted: unknown };

/** What the daemon can change on a guest that runs; the rest needs it made anew. */
const inPlace: Readonly<Record<ProjectGuest["kind"], readonly string[]>> = {
  // cgroup files, firewall elements, the daemon's own resolver and supervisor.
  container: ["publish", "restart", "aliases", "labels", "health", "mem", "cpu", "cpus", "pids"],
  vm: ["publish", "restart", "aliases", "labels", "health", "mem", "networks", "disks"],
};

/** In the words of a compose file. */
const words: Readonly<Record<string, string>> = {
  mem: "memory",
  env: "environment",
  publish: "ports",
  health: "healthcheck",
  disks: "volumes",
  shares: "volumes",
  cpu: "cpu weight",
  sshPort: "ssh port",
  timeoutMs: "timeout",
  graceMs: "stop_grace_period",
  outputLimit: "output_limit",
  setup: "what it is set up with",
};

export function wordOf(key: string): string {
  return words[key] ?? key;
}

/** Keys in the order of `wanted`. Nexus's own labels and keys are no difference: what was asked is compared itself. */
export function differencesOf(is: Readonly<Record<string, unknown>>, wanted: Readonly<Record<string, unknown>>): Difference[] {
  const keys = new Set([...Object.keys(wanted), ...Object.keys(is)]);
  return [...keys].flatMap((key) => {
    const [a, b] = [is[key], wanted[key]].map((value) => canonical(asAsked(key, value) ?? null));
    // A change of labels carries all of them: Nexus's own say whose the guest is.
    return a === b ? [] : [{ key, is: is[key], wanted: wanted[key] }];
  });
}

/** The change a running guest can follow, or undefined when it has to be made anew. */
export function changeInPlace(
  guest: ProjectGuest,
  is: PresentGuest,
  differences: readonly Difference[],
): Record<string, unknown> | undefined {
  if (differences.length === 0 || is.kind !== guest.kind) return undefined;
  const egress = egressChange(differences.find(({ key }) => key === "networks"));
  const follows = (difference: Difference): boolean => {
    const { key, is: before, wanted } = difference;
    if (key === "networks" && egress !== undefined) return true;
    if (!inPlace[guest.kind].includes(key)) return false;
    // A limit cannot be taken back by a value, and a balloon gives back no more than the machine began with.
    if (wanted === undefined) return false;
    if (guest.kind === "vm" && key === "mem") return typeof before === "number" && Number(wanted) < before;
    if (guest.kind === "vm" && (key === "networks" || key === "disks")) return devicesFollow(guest.spec, is, difference);
    // In user mode the machine's own process carries the ports.
    return !(guest.kind === "vm" && key === "publish" && guest.spec.networks.length === 0);
  };
  if (!differences.every(follows)) return undefined;
  return Object.fromEntries(
    differences.map(({ key, wanted }) => (key === "networks" && egress !== undefined ? ["egress", egress] : [key, wanted])),
  );
}

/** The new policies by network, where that is all in which the attachments differ. */
function egressChange(networks: Difference | undefined): Record<string, EgressWish> | undefined {
  const [is, wanted] = [networks?.is, networks?.wanted].map((value) => (Array.isArray(value) ? (value as readonly NetworkRef[]) : []));
  if (is === undefined || wanted === undefined || is.length !== wanted.length) return undefined;
  const same = (a: unknown, b: unknown) => canonical(a ?? null) === canonical(b ?? null);
  if (!same(is.map(withoutEgress), wanted.map(withoutEgress))) return undefined;
  const changed = wanted.filter(({ egress }, i) => !same(egress, is[i]?.egress));
  return Object.fromEntries(changed.map(({ network, egress }) => [network, egress ?? noEgress]));
}

function withoutEgress(ref: NetworkRef): NetworkRef {
  return { ...ref, egress: undefined };
}

/** Cards and disks come and go while a machine runs; those that stay are as they were, and before the new ones. */
function devicesFollow(spec: VmSpec, is: PresentGuest, { key, is: before, wanted }: Difference): boolean {
  if (!Array.isArray(before) || !Array.isArray(wanted)) return false;
  if (spec.machine === "microvm" && isRunning(is)) return false;
  // There is no way between user mode and networks.
  if (key === "networks" && (before.length === 0 || wanted.length === 0)) return false;
  const nameOf = (one: { network?: string; name?: string }): string | undefined => one.network ?? one.name;
  const stays = before.filter((one) => wanted.some((other) => nameOf(other) === nameOf(one)));
  const bare = (one: NetworkRef): NetworkRef => (key === "networks" ? withoutEgress(one) : one);
  return canonical(wanted.slice(0, stays.length).map(bare)) === canonical(stays.map(bare));
}

/** Keys of a network that follow at once; see networkChange. */
export const networkInPlace: readonly (keyof NetworkSpec)[] = [
  "mtu",
  "dns",
  "nat",
  "isolation",
  "internal",
  "dhcp",
  "peers",
  "egress",
  "labels",
];

/** `memory (64 -> 128), environment`: short values are shown, secrets never. */
export function differenceText(differences: readonly Difference[]): string {
  const texts = differences.map(({ key, is, wanted }) => {
    const shown = [is, wanted].map((value) => (value === undefined ? "none" : typeof value === "object" ? undefined : String(value)));
    const [a, b] = shown;
    const short = a !== undefined && b !== undefined && a.length + b.length < 100;
    return short ? `${wordOf(key)} (${a} -> ${b})` : wordOf(key);
  });
  return [...new Set(texts)].join(", ");
}

function asAsked(key: string, value: unknown): unknown {
  if (key === "labels") return ownOf(value);
  return key === "setup" && value !== undefined ? withoutOwnKeys(value as VmSetup) : value;
}

function ownOf(labels: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries((labels ?? {}) as Record<string, unknown>).filter(([key]) => !key.startsWith("nexus.")));
}
