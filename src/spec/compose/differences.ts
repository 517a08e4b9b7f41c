import type { NetworkSpec } from "../network.ts";
import { type VmSetup, withoutOwnKeys } from "../vm-setup.ts";
import { canonical } from "./names.ts";
import type { PresentGuest } from "./present.ts";
import type { ProjectGuest } from "./project.ts";

/** One key of a spec that is not as it is wanted. */
export type Difference = { key: string; is: unknown; wanted: unknown };

/** What the daemon can change on a guest that runs; the rest needs it made anew. */
const inPlace: Readonly<Record<ProjectGuest["kind"], readonly string[]>> = {
  // cgroup files, firewall elements, the daemon's own resolver and supervisor.
  container: ["publish", "restart", "aliases", "labels", "health", "mem", "cpu", "cpus", "pids"],
  vm: ["publish", "restart", "aliases", "labels", "health", "mem"],
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
  const follows = ({ key, is: before, wanted }: Difference): boolean => {
    if (!inPlace[guest.kind].includes(key)) return false;
    // A limit cannot be taken back by a value, and a balloon gives back no more than the machine began with.
    if (wanted === undefined) return false;
    if (guest.kind === "vm" && key === "mem") return typeof before === "number" && Number(wanted) < before;
    // In user mode the machine's own process carries the ports.
    return !(guest.kind === "vm" && key === "publish" && guest.spec.networks.length === 0);
  };
  return differences.every(follows) ? Object.fromEntries(differences.map(({ key, wanted }) => [key, wanted])) : undefined;
}

/** Keys of a network that follow at once; see networkChange. */
export const networkInPlace: readonly (keyof NetworkSpec)[] = ["mtu", "dns", "nat", "isolation", "internal", "dhcp", "peers", "labels"];

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
