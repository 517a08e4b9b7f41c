import type { Action } from "../../../src/spec/compose/changes.ts";
import type { DownAction } from "../../../src/spec/compose/down.ts";
import { type EgressWish, kept } from "../../../src/spec/egress-wish.ts";
import type { NetworkRef } from "../../../src/spec/node.ts";
import type { Present, PresentGuest } from "../../../src/spec/compose/present.ts";

export const nothing: Present = { networks: [], guests: [], volumes: [], runs: [] };

/** What is there when a host did the actions, as the daemon would: refusing what cannot be. */
export function presentAfter(before: Present, actions: readonly (Action | DownAction)[]): Present {
  const networks = new Map(before.networks.map((one) => [one.name, one]));
  const guests = new Map(before.guests.map((one) => [one.name, one]));
  const volumes = new Map(before.volumes.map((one) => [one.name, one]));
  let runs = [...before.runs];
  const users = (name: string): PresentGuest[] =>
    [...guests.values()].filter((guest) => JSON.stringify(guest.spec["networks"] ?? []).includes(`"${name}"`));
  const refuse = (why: boolean, action: { text: string }): void => {
    if (why) throw new Error(`impossible: ${action.text}`);
  };
  for (const action of actions) {
    const { name } = action;
    switch (action.kind) {
      case "create-network":
      case "recreate-network": {
        refuse(networks.has(name) !== (action.kind === "recreate-network"), action);
        refuse(users(name).length > 0 || action.spec.peers.some((peer) => !networks.has(peer)), action);
        networks.set(name, { name, labels: action.spec.labels, spec: action.spec });
        break;
      }
      case "change-network": {
        const network = networks.get(name);
        refuse(network === undefined, action);
        if (network !== undefined)
          networks.set(name, {
            ...network,
            labels: action.change.labels ?? network.labels,
            spec: { ...network.spec, ...action.change, egress: kept(action.change.egress ?? network.spec.egress) } as typeof network.spec,
          });
        break;
      }
      case "remove-network":
        refuse(!networks.delete(name) || users(name).length > 0, action);
        break;
      case "create-volume":
        refuse(volumes.has(name), action);
        volumes.set(name, { name, labels: action.volume.labels });
        break;
      case "remove-volume":
        refuse(!volumes.delete(name), action);
        break;
      case "create-guest":
      case "recreate-guest": {
        refuse(guests.has(name) !== (action.kind === "recreate-guest"), action);
        refuse(
          (action.guest.spec.networks ?? []).some(({ network }) => !networks.has(network)),
          action,
        );
        guests.set(name, { name, kind: action.guest.kind, state: "running", labels: action.guest.spec.labels, spec: action.guest.spec });
        break;
      }
      case "start-guest":
      case "stop-guest":
      case "change-guest": {
        const guest = guests.get(name);
        refuse(guest === undefined, action);
        if (guest === undefined) break;
        if (action.kind === "change-guest") {
          const { egress, ...change } = action.change as { egress?: Record<string, EgressWish>; [key: string]: unknown };
          const networks = ((change["networks"] ?? guest.spec["networks"]) as NetworkRef[]).map((ref) => ({
            ...ref,
            egress: kept(egress?.[ref.network] ?? ref.egress),
          }));
          const spec: Record<string, unknown> = { ...guest.spec, ...change, networks };
          guests.set(name, { ...guest, spec, labels: spec["labels"] as PresentGuest["labels"] });
        } else guests.set(name, { ...guest, state: action.kind === "start-guest" ? "running" : "stopped" });
        break;
      }
      case "remove-guest":
        refuse(!guests.delete(name), action);
        break;
      case "create-run": {
        const { spec } = action.sandbox;
        const run = { id: `run${runs.length}`, state: "succeeded", code: 0, spec: { ...spec, env: Object.keys(spec.env) } } as const;
        runs = [run, ...runs.filter(({ id }) => !action.replaces.includes(id))];
        break;
      }
      case "remove-run":
        refuse(!action.ids.every((id) => runs.some((run) => run.id === id)), action);
        runs = runs.filter(({ id }) => !action.ids.includes(id));
    }
  }
  return { networks: [...networks.values()], guests: [...guests.values()], volumes: [...volumes.values()], runs };
}
