import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import { inOrder } from "../../spec/compose/order.ts";
import { type PresentVolume, volumesOf } from "../../spec/compose/present.ts";
import { guestsOf, nameOf, type Project, servicesOf } from "../../spec/compose/project.ts";
import type { GuestView } from "../../spec/views.ts";
import { graceOf } from "./carry-out.ts";
import { lockProject } from "./lock.ts";
import { projectFiles } from "./files.ts";
import { openProject } from "./open.ts";
import { allRuns, forgetRuns, newestRuns, runName } from "./sandboxes.ts";
import { guestsOfProject, networksOn, presentOn } from "./present.ts";

/** Removes what `up` made: guests in the reverse of their order, networks, and volumes only with -v. A file that cannot be read any more does not hinder it. */
export async function down(c: VerbContext): Promise<void> {
  const { directory } = projectFiles(c);
  const project = projectIfSound(c);
  const client = await c.client();
  using _lock = await lockProject(c, directory, c.interrupted());
  const name = c.flags.text("project-name");
  const guests = guestsOfProject(await client.call("guest.list"), { directory, name });
  // Which volumes are the project's its guests and networks tell, as long as they are there.
  const volumes = project === undefined || !c.flags.on("volumes") ? [] : volumesOf(project, await presentOn(client));
  const removed: string[] = await removeRuns(c, client, { directory, name });
  for (const wave of wavesBackwards(guests, project)) {
    await Promise.all(wave.map((guest) => removeGuest(client, guest, project)));
    for (const guest of wave) removed.push(guest.name);
    for (const guest of wave) c.out.note(`✓ removed ${guest.name}`);
  }
  removed.push(...(await removeNetworks(c, client, { directory, name })));
  removed.push(...(await removeVolumes(c, client, volumes)));
  c.out.result({ removed }, () => (removed.length === 0 ? "nothing of this project is there\n" : ""));
}

/** Undefined when its file has faults, which are told: what it made is known by its marks. */
function projectIfSound(c: VerbContext): Project | undefined {
  try {
    return openProject(c, { allProfiles: true });
  } catch (error) {
    if (!(error instanceof NexusError) || c.flags.on("volumes")) throw error;
    c.out.note(`the file cannot be read, so guests go in any order: ${error.message}`);
    return undefined;
  }
}

/** Who needs others goes before them; what the file does not know goes first. */
function wavesBackwards(guests: readonly GuestView[], project: Project | undefined): GuestView[][] {
  if (project === undefined) return [[...guests]];
  const there = new Map(guests.map((guest) => [guest.name, guest]));
  const known = new Set<string>(guestsOf(project).map((guest) => guest.spec.name));
  const strangers = guests.filter((guest) => !known.has(guest.name));
  const waves = inOrder(servicesOf(project)).map((wave) => wave.flatMap((one) => there.get(nameOf(one)) ?? []));
  return [strangers, ...waves.toReversed()].filter((wave) => wave.length > 0);
}

async function removeGuest(client: Client, { name }: GuestView, project: Project | undefined): Promise<void> {
  const known = project === undefined ? undefined : guestsOf(project).find((guest) => guest.spec.name === name);
  await client.call("guest.stop", { params: { name }, query: known === undefined ? {} : graceOf(known) });
  await client.call("guest.remove", { params: { name } });
}

/** Before the guests: none of them needs a command that goes on. */
async function removeRuns(c: VerbContext, client: Client, whose: { directory: string; name?: string | undefined }): Promise<string[]> {
  const removed: string[] = [];
  // Of one sandbox there may be several.
  for (let runs = newestRuns(await allRuns(client), whose); runs.length > 0; runs = newestRuns(await allRuns(client), whose)) {
    await Promise.all(runs.map(({ id }) => forgetRuns(client, [id])));
    for (const name of runs.map(runName).filter((one) => !removed.includes(one))) {
      removed.push(name);
      c.out.note(`✓ removed ${name}`);
    }
  }
  return removed;
}

async function removeNetworks(c: VerbContext, client: Client, whose: { directory: string; name?: string | undefined }): Promise<Name[]> {
  const own = (await networksOn(client)).filter(
    ({ labels }) => labels["nexus.directory"] === whose.directory && (whose.name === undefined || labels["nexus.project"] === whose.name),
  );
  const removed: Name[] = [];
  for (const { name } of own) {
    try {
      await client.call("network.remove", { params: { name }, query: { force: false } });
      removed.push(name);
      c.out.note(`✓ removed network ${name}`);
    } catch (error) {
      if (!(error instanceof NexusError) || error.code !== "in-use") throw error;
      const users = (await client.call("guest.list")).filter((guest) => guest.attachments.some((a) => a.network === name));
      c.out.note(`kept network ${name}, which others use: ${users.map((guest) => guest.name).join(", ")}`);
    }
  }
  return removed;
}

async function removeVolumes(c: VerbContext, client: Client, volumes: readonly PresentVolume[]): Promise<Name[]> {
  for (const { name } of volumes) {
    await client.call("volume.remove", { params: { name } });
    c.out.note(`✓ removed volume ${name}`);
  }
  return volumes.map(({ name }) => name);
}
