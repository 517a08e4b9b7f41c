import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { GuestView } from "../../spec/views.ts";
import { findProjectFiles, projectFiles } from "./files.ts";
import { guestsOfProject, serviceOf } from "./present.ts";
import { allRuns, newestRuns, runName, runService } from "./sandboxes.ts";
import { isFinal, type RunView } from "../../spec/run-view.ts";

/** The guests of this directory's project: those named, or all. @throws NexusError not-found, wrong-state for a sandbox of it */
export async function projectGuests(c: VerbContext, client: Client, words: readonly string[]): Promise<GuestView[]> {
  const whose = { directory: projectFiles(c).directory, name: c.flags.text("project-name") };
  const own = guestsOfProject(await client.call("guest.list"), whose);
  if (words.length === 0) return own;
  const found = words.map((word) => own.find((guest) => serviceOf(guest) === word || guest.name === word));
  const lost = words.find((_, i) => found[i] === undefined);
  if (lost === undefined) return found.filter((guest) => guest !== undefined);
  const runs = newestRuns(await allRuns(client), whose);
  const run = runs.find((one) => runService(one) === lost || runName(one) === lost);
  throw run === undefined ? absent(lost, own.map(serviceOf)) : noGuest(run);
}

function noGuest(run: RunView): NexusError {
  const hint = isFinal(run.state)
    ? `it is ${run.state}; \`nexus up ${runService(run)}\` runs it when it has not succeeded, or changed`
    : `\`nexus run cancel ${run.id}\` ends its run`;
  return new NexusError("wrong-state", `${runService(run)} is a sandbox, which runs once: only guests are started and stopped`, { hint });
}

/** The guests of this directory's project and the newest runs of its sandboxes: those named, or all. @throws NexusError not-found */
export async function projectServices(
  c: VerbContext,
  client: Client,
  words: readonly string[],
): Promise<{ guests: GuestView[]; runs: RunView[] }> {
  const whose = { directory: projectFiles(c).directory, name: c.flags.text("project-name") };
  const [guests, runs] = [guestsOfProject(await client.call("guest.list"), whose), newestRuns(await allRuns(client), whose)];
  if (words.length === 0) return { guests, runs };
  const named = (word: string) => ({
    guests: guests.filter((guest) => serviceOf(guest) === word || guest.name === word),
    runs: runs.filter((run) => runService(run) === word || runName(run) === word),
  });
  const found = words.map(named);
  const lost = words.find((_, i) => found[i]?.guests.length === 0 && found[i].runs.length === 0);
  if (lost !== undefined) throw absent(lost, [...guests.map(serviceOf), ...runs.map(runService)]);
  return { guests: found.flatMap((one) => one.guests), runs: found.flatMap((one) => one.runs) };
}

/** The newest run of a sandbox of this directory's project, where the word is no guest of it. */
export async function runNamed(c: VerbContext, client: Client, word: string): Promise<RunView | undefined> {
  if (findProjectFiles(c) === undefined) return undefined;
  const { guests, runs } = await projectServices(c, client, []);
  if (guests.some((guest) => serviceOf(guest) === word)) return undefined;
  return runs.find((run) => runService(run) === word || runName(run) === word);
}

function absent(word: string, names: readonly string[]): NexusError {
  return new NexusError("not-found", `this project has no guest ${word}`, {
    hint: names.length === 0 ? "nothing of it is there: nexus up" : `it has ${names.join(", ")}`,
  });
}

/** A guest by what this directory's compose file calls it, or by its own name. @throws NexusError not-found */
export async function guestNamed(c: VerbContext, client: Client, word: string): Promise<GuestView> {
  const files = findProjectFiles(c);
  const all = await client.call("guest.list");
  const own = files === undefined ? [] : guestsOfProject(all, { directory: files.directory });
  const found = own.find((guest) => serviceOf(guest) === word) ?? all.find((guest) => guest.name === word);
  if (found !== undefined) return found;
  throw new NexusError("not-found", `there is no guest ${word}`, {
    hint: "`nexus node ls` and `nexus vm ls` list them, `nexus ps` those of a project",
  });
}
