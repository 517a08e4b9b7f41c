import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import type { Name } from "../base/names.ts";
import type { ExecRequest, ExecSession } from "../guests/driver.ts";
import type { GuestFiles } from "../guests/guest-files.ts";
import type { OciDriver } from "../guests/oci.ts";
import type { VmDriver } from "../guests/qemu-plan.ts";
import type { Guests } from "./guests.ts";
import type { Nodes, Vms } from "./kinds.ts";

export type Kinds = { guests: Guests; nodes: Nodes; vms: Vms; driver: OciDriver; vmDriver: VmDriver };

type LogWish = { follow: boolean; tailLines?: number; signal: AbortSignal };

/** What can be done with a guest that Nexus runs, of whatever kind it is. */
export type AnyGuest = {
  lives: Nodes | Vms;
  /** @throws NexusError wrong-state unless it runs */
  exec(request: ExecRequest): Promise<ExecSession>;
  logs(wish: LogWish): AsyncIterable<Uint8Array>;
  /** @throws NexusError wrong-state unless it runs */
  files(): GuestFiles;
};

/** @throws NexusError not-found; unsupported for an attachment, whose processes are another's */
export function anyGuest(k: Kinds, name: Name): AnyGuest {
  const guest = k.guests.find(name);
  switch (guest?.kind) {
    case undefined:
      throw new NexusError("not-found", `there is no guest ${name}`, { hint: "`nexus node ls` and `nexus vm ls` list them" });
    case "container":
      return {
        lives: k.nodes,
        exec: (request) => k.driver.exec(k.nodes.runningPlan(name), request),
        logs: (wish) => k.driver.logs(k.nodes.plan(name), wish),
        files: () => k.driver.files(k.nodes.runningPlan(name)),
      };
    case "vm":
      return {
        lives: k.vms,
        exec: (request) => k.vmDriver.exec(k.vms.runningPlan(name), request),
        logs: (wish) => k.vmDriver.logs(k.vms.plan(name), wish),
        files: () => k.vmDriver.files(k.vms.runningPlan(name)),
      };
    case "netns":
      throw new NexusError("unsupported", `${name} is an attachment: Nexus runs nothing in it`);
    default:
      return unreachable(guest);
  }
}

/** Whatever it is, and whether it runs. */
export async function removeGuest(k: Kinds, name: Name): Promise<void> {
  if (k.guests.find(name)?.kind === "netns") return k.guests.removeAttachment(name);
  await anyGuest(k, name).lives.remove(name, { force: true });
}
