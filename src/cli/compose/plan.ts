import type { Client } from "../../api/client.ts";
import type { NetworkSpecInput } from "../../spec/network.ts";
import type { NodeSpecInput } from "../../spec/node.ts";
import type { VmSpecInput } from "../../spec/vm.ts";
import { type Action, changes } from "../../spec/compose/changes.ts";
import type { Project } from "../../spec/compose/project.ts";
import { presentOn } from "./present.ts";

/** What `up` would do, each as a remark, and what is new as the `ip` and `nft` lines that make it. */
export async function planLines(client: Client, project: Project): Promise<string[]> {
  const actions = changes(project, await presentOn(client));
  const { steps } = await client.call("plan.preview", { body: newOnes(actions) });
  return [...actions.map(({ text }) => `# ${text}`), ...steps];
}

function newOnes(actions: readonly Action[]) {
  const networks = actions.flatMap((action) => (action.kind === "create-network" ? [action.spec as NetworkSpecInput] : []));
  const guests = actions.flatMap((action) => (action.kind === "create-guest" ? [action.guest] : []));
  return {
    networks,
    vms: guests.flatMap((guest) => (guest.kind === "vm" ? [guest.spec as VmSpecInput] : [])),
    nodes: guests.flatMap((guest) => (guest.kind === "container" ? [guest.spec as NodeSpecInput] : [])),
  };
}
