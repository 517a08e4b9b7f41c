import type { Name } from "../../base/names.ts";
import { networksOf } from "./changes.ts";
import { inOrder } from "./order.ts";
import { isOurs, isRunning, orphanNetworksOf, orphansOf, type Present, volumesOf } from "./present.ts";
import { guestsOf, type Project, servicesOf } from "./project.ts";

/** One thing `down` does. */
export type DownAction = { text: string; name: Name } & (
  | { kind: "stop-guest"; graceMs?: number }
  | { kind: "remove-guest" }
  | { kind: "remove-network" }
  /** With its data. */
  | { kind: "remove-volume" }
);

/**
 * What to do, in this order, so that nothing of the project is left: guests before those they need, then networks. Volumes go only with
 * `volumes`, guests that are gone from the file only with `removeOrphans`; the networks these are on then stay too. External networks and
 * volumes, and what this project did not make, are never touched.
 */
export function downActions(
  project: Project,
  present: Present,
  { volumes = false, removeOrphans = false }: { volumes?: boolean; removeOrphans?: boolean } = {},
): DownAction[] {
  const there = new Map(present.guests.filter((guest) => isOurs(project, guest)).map((guest) => [guest.name, guest]));
  const orphans = orphansOf(project, present);
  const grace = new Map(guestsOf(project).map((guest) => [guest.spec.name, guest.stopGraceMs]));
  const order = inOrder(servicesOf(project))
    .toReversed()
    .flatMap((wave) => wave.flatMap((one) => (one.kind === "sandbox" ? [] : (there.get(one.spec.name) ?? []))));
  const going = removeOrphans ? [...orphans, ...order] : order;
  const kept = new Set(removeOrphans ? [] : orphans.flatMap(networksOf));
  const own = present.networks.filter((network) => isOurs(project, network));
  const gone = new Set(orphanNetworksOf(project, present).map((network) => network.name));
  return [
    ...going.filter(isRunning).map(({ name }): DownAction => {
      const graceMs = grace.get(name);
      return { kind: "stop-guest", name, ...(graceMs === undefined ? {} : { graceMs }), text: `stop ${name}` };
    }),
    ...going.map(({ name }): DownAction => ({ kind: "remove-guest", name, text: `remove ${name}` })),
    ...own
      .filter(({ name }) => !kept.has(name) && (removeOrphans || !gone.has(name)))
      .toReversed()
      .map(({ name }): DownAction => ({ kind: "remove-network", name, text: `remove network ${name}` })),
    ...(volumes ? volumesOf(project, present) : []).map(({ name }): DownAction => ({
      kind: "remove-volume",
      name,
      text: `remove volume ${name} with its data`,
    })),
  ];
}
