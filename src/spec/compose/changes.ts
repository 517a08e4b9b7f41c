import type { Name } from "../../base/names.ts";
import { noEgress } from "../egress-wish.ts";
import type { NetworkChange, NetworkSpec } from "../network.ts";
import { changeInPlace, type Difference, differencesOf, differenceText, networkInPlace } from "./differences.ts";
import { startOrder } from "./order.ts";
import { isOurs, isRunning, orphanNetworksOf, orphansOf, type Present, type PresentGuest, refuseForeign } from "./present.ts";
import { activeGuests, type Project, type ProjectGuest, type ProjectSandbox, type ProjectVolume } from "./project.ts";
import { orphanRuns, runChange } from "./run-changes.ts";

/** One thing `up` does. `text` says it, with the reason where something is lost. */
export type Action = { text: string } & (
  | { kind: "create-network"; name: Name; spec: NetworkSpec }
  | { kind: "change-network"; name: Name; change: NetworkChange }
  /** Its guests are off it by then. */
  | { kind: "recreate-network"; name: Name; spec: NetworkSpec; reason: string }
  | { kind: "remove-network"; name: Name }
  | { kind: "create-volume"; name: Name; volume: ProjectVolume }
  | { kind: "create-guest"; name: Name; guest: ProjectGuest }
  | { kind: "start-guest"; name: Name; guest: ProjectGuest }
  /** `change` has keys of the guest's spec with their new values. */
  | { kind: "change-guest"; name: Name; guest: ProjectGuest; change: Record<string, unknown> }
  /** Stopped, removed and created again; its volumes stay. */
  | { kind: "recreate-guest"; name: Name; guest: ProjectGuest; reason: string }
  | { kind: "remove-guest"; name: Name; reason: string }
  /** Its runs before this one are cancelled and forgotten first: they may hold its facility. */
  | { kind: "create-run"; name: Name; sandbox: ProjectSandbox; replaces: readonly string[] }
  | { kind: "remove-run"; name: Name; ids: readonly string[]; reason: string }
);

/**
 * What to do, in this order, so that the project is there and runs. Nothing for a project that is as it should be. Guests that are gone
 * from the file are removed only with `removeOrphans`.
 * @throws NexusError `name-taken` when something of the project's names is not the project's, `not-found` for an external network
 */
export function changes(project: Project, present: Present, { removeOrphans = false }: { removeOrphans?: boolean } = {}): Action[] {
  refuseForeign(project, present);
  const networks = networkChanges(project, present);
  const renewed = new Set(networks.flatMap((action) => (action.kind === "recreate-network" ? [action.name] : [])));
  const evicted = present.guests.filter((guest) => isOurs(project, guest) && networksOf(guest).some((name) => renewed.has(name)));
  const orphans = removeOrphans ? orphansOf(project, present).filter((guest) => !evicted.includes(guest)) : [];
  const gone = new Set(evicted.map((guest) => guest.name));
  const left = new Map(present.guests.filter((guest) => !gone.has(guest.name)).map((guest) => [guest.name, guest]));
  return [
    ...evicted.map((guest) => removal(guest, `its network ${networksOf(guest).find((name) => renewed.has(name)) ?? ""} is made anew`)),
    ...orphans.map((guest) => removal(guest, "the file has it no more")),
    ...(removeOrphans ? orphanRuns(project, present) : []),
    ...networks,
    ...newVolumes(project, present),
    ...startOrder(project).flatMap((wave) =>
      wave.flatMap((one) => (one.kind === "sandbox" ? runChange(project, present, one) : guestChange(one, left.get(one.spec.name)))),
    ),
    ...(removeOrphans
      ? orphanNetworksOf(project, present).map(({ name }): Action => ({
          kind: "remove-network",
          name,
          text: `remove network ${name}: the file has it no more`,
        }))
      : []),
  ];
}

/** In the order of the file: a network peers only with those before it. */
function networkChanges(project: Project, present: Present): Action[] {
  const there = new Map(present.networks.map((network) => [network.name, network]));
  const renewed = new Set<Name>();
  return [...project.networks.values()].flatMap(({ name, spec }): Action[] => {
    if (spec === undefined) return [];
    const is = there.get(name)?.spec;
    if (is === undefined) return [{ kind: "create-network", name, spec, text: `create network ${name}` }];
    const differences = differencesOf(is, spec);
    const stays = differences.filter(({ key }) => !networkInPlace.some((one) => one === key));
    if (stays.length > 0) {
      renewed.add(name);
      const reason = changed(stays);
      return [{ kind: "recreate-network", name, spec, reason, text: `recreate network ${name}: ${reason}` }];
    }
    // What peered with a network that went has to be told again.
    const again = spec.peers.some((peer) => renewed.has(peer)) && !differences.some(({ key }) => key === "peers");
    const all: Difference[] = again ? [...differences, { key: "peers", is: undefined, wanted: spec.peers }] : differences;
    if (all.length === 0) return [];
    const change = Object.fromEntries(
      all.map(({ key, wanted }) => [key, key === "egress" ? (wanted ?? noEgress) : wanted]),
    ) as NetworkChange;
    return [{ kind: "change-network", name, change, text: `change network ${name} in place: ${differenceText(all)}` }];
  });
}

/** A volume is made when a guest that is on needs it, and never changed. */
function newVolumes(project: Project, present: Present): Action[] {
  const there = new Set<string>(present.volumes.map((volume) => volume.name));
  const used = new Set(
    activeGuests(project).flatMap((guest) => (guest.kind === "vm" ? guest.spec.disks : guest.spec.volumes).map(({ source }) => source)),
  );
  return [...project.volumes.values()]
    .filter(({ name, external }) => !external && used.has(name) && !there.has(name))
    .map((volume): Action => ({ kind: "create-volume", name: volume.name, volume, text: `create volume ${volume.name}` }));
}

function guestChange(guest: ProjectGuest, is: PresentGuest | undefined): Action[] {
  const { name } = guest.spec;
  if (is === undefined) return [{ kind: "create-guest", name, guest, text: `create ${name}` }];
  const start: Action[] = isRunning(is) ? [] : [{ kind: "start-guest", name, guest, text: `start ${name}: it is ${is.state}` }];
  const differences = differencesOf(is.spec, guest.spec);
  const change = changeInPlace(guest, is, differences);
  if (change !== undefined)
    return [{ kind: "change-guest", name, guest, change, text: `change ${name} in place: ${differenceText(differences)}` }, ...start];
  const reason = reasonOf(guest, is, differences);
  return reason === undefined ? start : [{ kind: "recreate-guest", name, guest, reason, text: `recreate ${name}: ${reason}` }];
}

function reasonOf(guest: ProjectGuest, is: PresentGuest, differences: readonly Difference[]): string | undefined {
  if (is.kind !== guest.kind) return `it is a ${is.kind} and becomes a ${guest.kind}`;
  return differences.length > 0 ? changed(differences) : undefined;
}

function changed(differences: readonly Difference[]): string {
  return `changed: ${differenceText(differences)}`;
}

function removal({ name }: PresentGuest, reason: string): Action {
  return { kind: "remove-guest", name, reason, text: `remove ${name}: ${reason}` };
}

export function networksOf({ spec }: PresentGuest): Name[] {
  const networks = spec["networks"] as readonly { network: Name }[] | undefined;
  return (networks ?? []).map(({ network }) => network);
}
