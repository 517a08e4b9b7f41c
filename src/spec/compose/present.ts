import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import type { LabelSet } from "../labels.ts";
import type { NetworkSpec } from "../network.ts";
import type { RunView } from "../run-view.ts";
import type { GuestState } from "../views.ts";
import { guestsOf, type Project } from "./project.ts";

/** What exists on the host, of this project or not. Specs are those it was made from, with later changes put in. */
export type Present = {
  networks: readonly PresentNetwork[];
  guests: readonly PresentGuest[];
  volumes: readonly PresentVolume[];
  /** The newest first. */
  runs: readonly PresentRun[];
};

/** A sandboxed run that is under way or has ended; its labels are in its spec. */
export type PresentRun = Pick<RunView, "id" | "state" | "code" | "spec">;

/** A volume without labels has no known owner: a guest had it made, or somebody by hand. */
export type PresentVolume = { name: Name; labels: Readonly<LabelSet> };

export type PresentNetwork = { name: Name; labels: Readonly<LabelSet>; spec: NetworkSpec };

export type PresentGuest = {
  name: Name;
  kind: "vm" | "container" | "netns";
  state: GuestState;
  labels: Readonly<LabelSet>;
  spec: Readonly<Record<string, unknown>>;
};

export function isRunning({ state }: PresentGuest): boolean {
  return state === "running" || state === "starting";
}

/** Whether something was made by this project: of this name, in this directory. */
export function isOurs(project: Project, { labels }: { labels: Readonly<LabelSet> }): boolean {
  return labels["nexus.project"] === project.name && labels["nexus.directory"] === project.directory;
}

/** Guests this project made whose definition is gone from the file. */
export function orphansOf(project: Project, present: Present): PresentGuest[] {
  const defined = new Set<string>(guestsOf(project).map((guest) => guest.spec.name));
  return present.guests.filter((guest) => isOurs(project, guest) && !defined.has(guest.name));
}

/** Networks this project made that are gone from the file. */
export function orphanNetworksOf(project: Project, present: Present): PresentNetwork[] {
  const defined = new Set<string>([...project.networks.values()].map((network) => network.name));
  return present.networks.filter((network) => isOurs(project, network) && !defined.has(network.name));
}

/**
 * The volumes `down` may remove: those this project made, and those of its names without an owner while the project itself is still there
 * to vouch for them. Another directory's project of the same name may have left them otherwise.
 */
export function volumesOf(project: Project, present: Present): PresentVolume[] {
  const vouched = [...present.guests, ...present.networks].some((one) => isOurs(project, one));
  const named = new Set([...project.volumes.values()].filter(({ external }) => !external).map(({ name }) => name));
  return present.volumes.filter(
    (volume) => isOurs(project, volume) || (vouched && volume.labels["nexus.project"] === undefined && named.has(volume.name)),
  );
}

/**
 * Two projects never share a guest, a network or a volume of their own.
 * @throws NexusError `name-taken` when something of the name is there that this project did not make, `not-found` for what is external and
 * not there
 */
export function refuseForeign(project: Project, present: Present): void {
  const defined = new Set<string>(guestsOf(project).map((guest) => guest.spec.name));
  for (const guest of present.guests) if (defined.has(guest.name) && !isOurs(project, guest)) throw taken(project, "guest", guest);
  const networks = new Map(present.networks.map((network) => [network.name, network]));
  for (const [key, { name, spec }] of project.networks) {
    const there = networks.get(name);
    if (spec !== undefined && there !== undefined && !isOurs(project, there)) throw taken(project, "network", there);
    if (spec === undefined && there === undefined)
      throw new NexusError("not-found", `network ${key} is external, and there is no network ${name}`, {
        hint: `make it with: nexus network create ${name}`,
      });
  }
  const volumes = new Map(present.volumes.map((volume) => [volume.name, volume]));
  for (const [key, { name, external }] of project.volumes) {
    const there = volumes.get(name);
    const owned = there?.labels["nexus.project"] !== undefined;
    if (!external && there !== undefined && owned && !isOurs(project, there)) throw taken(project, "volume", there);
    if (external && there === undefined)
      throw new NexusError("not-found", `volume ${key} is external, and there is no volume ${name}`, {
        hint: "leave out external to have it made",
      });
  }
}

function taken(project: Project, what: string, { name, labels }: { name: Name; labels: Readonly<LabelSet> }): NexusError {
  const [owner, directory] = [labels["nexus.project"], labels["nexus.directory"]];
  const whose = owner === undefined ? "no compose file made it" : `it is of the project ${owner} in ${directory ?? "an unknown directory"}`;
  return new NexusError("name-taken", `there is a ${what} ${name}, and ${whose}`, {
    hint: owner === project.name ? "give this project another name" : `rename the ${what}, or give this project another name`,
  });
}
