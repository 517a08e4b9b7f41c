import { NexusError } from "../../base/errors.ts";
import type { Name } from "../../base/names.ts";
import { nameOf, type Project, type ProjectService, servicesOf } from "../../spec/compose/project.ts";
import { nearest } from "../../spec/nearest.ts";

/** The project with only these services active, and what they need; all that were, when none is named. @throws NexusError not-found */
export function onlyServices(project: Project, services: readonly string[]): Project {
  if (services.length === 0) return project;
  const wanted = new Set<Name>();
  const queue = services.map((word) => serviceNamed(project, word).service);
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (wanted.has(name)) continue;
    wanted.add(name);
    queue.push(...serviceNamed(project, name).dependsOn.keys());
  }
  const chosen = <One extends ProjectService>(services: ReadonlyMap<Name, One>) =>
    new Map([...services].map(([name, one]) => [name, { ...one, active: wanted.has(name) }]));
  return { ...project, vms: chosen(project.vms), nodes: chosen(project.nodes), sandboxes: chosen(project.sandboxes) };
}

export function serviceNamed(project: Project, word: string): ProjectService {
  const all = servicesOf(project);
  const found = all.find((guest) => guest.service === word || nameOf(guest) === word);
  if (found !== undefined) return found;
  const names = all.map((guest) => guest.service);
  const meant = nearest(word, names);
  throw new NexusError("not-found", `project ${project.name} has no guest ${word}`, {
    hint: meant === undefined ? `it has ${names.join(", ")}` : `did you mean ${meant}?`,
  });
}
