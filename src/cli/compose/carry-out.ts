import { forgetRuns } from "./sandboxes.ts";
import type { Client } from "../../api/client.ts";
import { unreachable } from "../../base/exhaustive.ts";
import type { Action } from "../../spec/compose/changes.ts";
import type { ProjectGuest } from "../../spec/compose/project.ts";

/** One action, done. `say` is told of progress within it. @throws NexusError as the daemon refuses */
export async function carryOut(client: Client, action: Action, say: (line: string) => void): Promise<void> {
  const { name } = action;
  const params = { name };
  switch (action.kind) {
    case "create-network":
      return void (await client.call("network.create", { body: action.spec }));
    case "change-network":
      return void (await client.call("network.change", { params, body: action.change }));
    case "recreate-network":
      await client.call("network.remove", { params, query: { force: false } });
      return void (await client.call("network.create", { body: action.spec }));
    case "remove-network":
      return void (await client.call("network.remove", { params, query: { force: false } }));
    case "create-volume":
      return void (await client.call("volume.create", { body: { name, labels: action.volume.labels } }));
    case "create-guest":
      return await create(client, action.guest, say);
    case "start-guest":
      return void (await client.follow("guest.start", { params }, say));
    case "change-guest":
      return void (await client.call("guest.change", { params, body: action.change }));
    case "recreate-guest":
      await client.call("guest.stop", { params, query: graceOf(action.guest) });
      await client.call("guest.remove", { params });
      return await create(client, action.guest, say);
    case "remove-guest":
      await client.call("guest.stop", { params, query: {} });
      return void (await client.call("guest.remove", { params }));
    case "create-run":
      await forgetRuns(client, action.replaces);
      return void (await client.call("run.create", { body: action.sandbox.spec }));
    case "remove-run":
      return await forgetRuns(client, action.ids);
    default:
      return unreachable(action);
  }
}

async function create(client: Client, guest: ProjectGuest, say: (line: string) => void): Promise<void> {
  if (guest.kind === "vm") await client.follow("vm.create", { body: guest.spec, query: {} }, say);
  else await client.follow("node.create", { body: guest.spec, query: {} }, say);
}

/** Whole seconds, as the API takes them. */
export function graceOf({ stopGraceMs }: Pick<ProjectGuest, "stopGraceMs">): { grace?: number } {
  return stopGraceMs === undefined ? {} : { grace: Math.ceil(stopGraceMs / 1000) };
}
