import { allRuns } from "./sandboxes.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import type { Present, PresentGuest } from "../../spec/compose/present.ts";
import type { GuestView, NetworkView } from "../../spec/views.ts";

/** What there is on this host, of whatever project. */
export async function presentOn(client: Client): Promise<Present> {
  const [networks, guests, volumes, runs] = await Promise.all([
    networksOn(client),
    client.call("guest.list"),
    client.call("volume.list"),
    allRuns(client),
  ]);
  return {
    networks: networks.map(({ name, labels, spec }) => ({ name, labels, spec })),
    guests: guests.map(presentGuest),
    volumes: volumes.map(({ name, labels }) => ({ name, labels })),
    runs,
  };
}

/** A user's own daemon has none: it refuses whatever is about networks. */
export async function networksOn(client: Client): Promise<NetworkView[]> {
  try {
    return await client.call("network.list");
  } catch (error) {
    if (error instanceof NexusError && error.code === "not-permitted") return [];
    throw error;
  }
}

function presentGuest(guest: GuestView): PresentGuest {
  const { name, kind, state } = guest;
  return { name, kind, state, labels: labelsOf(guest), spec: { ...guest.spec } };
}

export function labelsOf(guest: GuestView): Readonly<Record<string, string>> {
  return guest.spec?.labels ?? {};
}

/** The guests a project made, by its directory, and its name where one is said. */
export function guestsOfProject(
  guests: readonly GuestView[],
  { directory, name }: { directory: string; name?: string | undefined },
): GuestView[] {
  return guests.filter((guest) => {
    const labels = labelsOf(guest);
    return labels["nexus.directory"] === directory && (name === undefined || labels["nexus.project"] === name);
  });
}

/** What the file calls a guest. */
export function serviceOf(guest: GuestView): Name {
  return (labelsOf(guest)["nexus.service"] ?? guest.name) as Name;
}
