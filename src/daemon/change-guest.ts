import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { GuestChange } from "../spec/change.ts";
import type { GuestRecord } from "../state/rows.ts";
import { claimPublishes } from "./admit.ts";
import type { Kinds } from "./any-guest.ts";
import type { Container, Machine } from "./kinds.ts";
import type { NetworkEngine } from "./network-access.ts";

export type Changer = Kinds & { wiring: NetworkEngine };

/**
 * Changes what can be changed on a guest while it runs; all of it, or none.
 * @throws NexusError unsupported for what its kind cannot follow, port-taken, limit-refused; SpecError
 */
export async function changeGuest(r: Changer, name: Name, change: GuestChange): Promise<GuestRecord> {
  const guest = r.guests.find(name);
  if (guest === undefined)
    throw new NexusError("not-found", `there is no guest ${name}`, { hint: "`nexus node ls` and `nexus vm ls` list them" });
  if (guest.kind === "netns") throw new NexusError("unsupported", `${name} is an attachment: nothing of it changes while it is there`);
  const lives = guest.kind === "vm" ? r.vms : r.nodes;
  return await lives.exclusively(name, async () => {
    const before = lives.get(name);
    const after = changed(before, change);
    refuseImpossible(before, change);
    await using undo = new AsyncDisposableStack();
    changePublishes(r, { before, after, undo });
    await changeLimits(r, { before, after, undo });
    const kept = r.guests.respecify(after);
    undo.move();
    await lives.lookAgain(name);
    return kept;
  });
}

function changed<Guest extends Container | Machine>(guest: Guest, change: GuestChange): Guest {
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  return { ...guest, spec: { ...guest.spec, ...given }, publishes: change.publish ?? guest.publishes };
}

function refuseImpossible(guest: Container | Machine, change: GuestChange): void {
  if (guest.kind === "container") return;
  const wrong = (["cpu", "cpus", "pids"] as const).find((key) => change[key] !== undefined);
  const anew = { hint: "remove the virtual machine and create it anew; its volumes stay" };
  if (wrong !== undefined) throw new NexusError("unsupported", `${wrong} of a virtual machine cannot change while it is there`, anew);
  if (change.publish !== undefined && guest.attachments.length === 0)
    throw new NexusError("unsupported", `in user mode the ports of virtual machine ${guest.name} are set when it starts`, anew);
  if (change.mem !== undefined && change.mem > guest.spec.mem)
    throw new NexusError(
      "unsupported",
      `${guest.name} began with ${guest.spec.mem} MiB and cannot have ${change.mem}: memory is only given back`,
      anew,
    );
}

type Change = { before: Container | Machine; after: Container | Machine; undo: AsyncDisposableStack };

function changePublishes(r: Changer, { before, after, undo }: Change): void {
  if (after.publishes === before.publishes) return;
  const { world } = r.guests;
  const was = world.takeClaims(before.name);
  undo.defer(() => world.giveClaims(before.name, was));
  world.giveClaims(before.name, claimPublishes(after, r.guests.admission(world), before.publishes));
  undo.defer(() => void world.takeClaims(before.name));
  if (!world.live.has(before.name)) return;
  r.wiring.changePublishes(before, after);
  undo.defer(() => r.wiring.changePublishes(after, before));
}

async function changeLimits(r: Changer, { before, after, undo }: Change): Promise<void> {
  const keys = ["mem", "cpu", "cpus", "pids"] as const;
  const specs: Record<string, unknown>[] = [before.spec, after.spec];
  const lives = before.kind === "vm" ? r.vms : r.nodes;
  if (keys.every((key) => specs[0]?.[key] === specs[1]?.[key]) || lives.running(before.name) === undefined) return;
  undo.defer(() => setLimits(r, before));
  await setLimits(r, after);
}

async function setLimits(r: Changer, guest: Container | Machine): Promise<void> {
  if (guest.kind === "container") r.driver.repairLimits(r.nodes.planFor(guest));
  else await r.vmDriver.setBalloon(r.vms.planFor(guest), guest.spec.mem * 1024 * 1024);
}
