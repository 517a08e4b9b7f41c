import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { GuestView } from "../../spec/views.ts";
import { findProjectFiles, projectFiles } from "./files.ts";
import { guestsOfProject, serviceOf } from "./present.ts";

/** The guests of this directory's project: those named, or all. @throws NexusError not-found */
export async function projectGuests(c: VerbContext, client: Client, words: readonly string[]): Promise<GuestView[]> {
  const whose = { directory: projectFiles(c).directory, name: c.flags.text("project-name") };
  const own = guestsOfProject(await client.call("guest.list"), whose);
  if (words.length === 0) return own;
  return words.map((word) => {
    const found = own.find((guest) => serviceOf(guest) === word || guest.name === word);
    if (found !== undefined) return found;
    const names = own.map(serviceOf).join(", ");
    throw new NexusError("not-found", `this project has no guest ${word}`, {
      hint: own.length === 0 ? "nothing of it is there: nexus up" : `it has ${names}`,
    });
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
