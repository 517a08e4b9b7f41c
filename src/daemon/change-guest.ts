import { isDeepStrictEqual } from "node:util";
import { NexusError, SpecError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import { kept } from "../spec/egress-wish.ts";
import type { GuestChange } from "../spec/change.ts";
import type { GuestRecord } from "../state/rows.ts";
import { claimPublishes } from "./admit.ts";
import type { Kinds } from "./any-guest.ts";
import type { Container, Machine } from "./kinds.ts";
import type { Egress } from "./egress.ts";
import type { NetworkEngine } from "./network-access.ts";
import { cardOf, readmit } from "./readmit.ts";
import type { Volumes } from "./volumes.ts";

export type Changer = Kinds & {
  wiring: NetworkEngine;
  volumes: Volumes;
  egress: Pick<Egress, "reconsider">;
  /** Gives a machine that runs the devices it is to have; see matchDevices. */
  matchDevices: (guest: Machine) => Promise<void>;
};

/**
 * Changes what can be changed on a guest while it runs; all of it, or none.
 * @throws NexusError unsupported for what its kind cannot follow, port-taken, limit-refused; as admit does, and as matchDevices; SpecError
 */
export async function changeGuest(r: Changer, name: Name, change: GuestChange): Promise<GuestRecord> {
  const guest = r.guests.find(name);
  if (guest === undefined)
    throw new NexusError("not-found", `there is no guest ${name}`, { hint: "`nexus node ls` and `nexus vm ls` list them" });
  if (guest.kind === "netns") throw new NexusError("unsupported", `${name} is an attachment: nothing of it changes while it is there`);
  const lives = guest.kind === "vm" ? r.vms : r.nodes;
  return await lives.exclusively(name, async () => {
    const before = lives.get(name);
    refuseImpossible(before, change, { runs: lives.running(name) !== undefined });
    await using undo = new AsyncDisposableStack();
    const after = await changeDevices(r, { before, after: changed(before, change), undo });
    changePublishes(r, { before, after, undo });
    await changeLimits(r, { before, after, undo });
    const respecified = r.guests.respecify(after);
    undo.defer(() => void r.guests.respecify(before));
    await takeEffect(r, { before, after, undo });
    undo.move();
    letGo(r, { before, after });
    await lives.lookAgain(name);
    return respecified;
  });
}

function changed<Guest extends Container | Machine>(guest: Guest, { egress, networks, ...change }: GuestChange): Guest {
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  const refs = (networks ?? guest.spec.networks)?.map((ref) =>
    egress?.[ref.network] === undefined ? ref : { ...ref, egress: kept(egress[ref.network]) },
  );
  return {
    ...guest,
    spec: { ...guest.spec, ...given, ...((networks ?? egress) === undefined ? {} : { networks: refs }) },
    publishes: change.publish ?? guest.publishes,
  };
}

function refuseImpossible(guest: Container | Machine, change: GuestChange, { runs }: { runs: boolean }): void {
  const names = (change.networks ?? guest.attachments).map(({ network }): string => network);
  const elsewhere = Object.keys(change.egress ?? {}).filter((network) => !names.includes(network));
  if (elsewhere.length > 0)
    throw new SpecError(
      elsewhere.map((network) => ({ path: `egress.${network}`, problem: `${guest.name} is not attached to network ${network}` })),
    );
  if (guest.kind === "container") {
    const wrong = (["networks", "disks"] as const).find((key) => change[key] !== undefined);
    if (wrong === undefined) return;
    throw new NexusError("unsupported", `${wrong} of a node cannot change while it is there`, {
      hint: "remove the node and create it anew; its volumes stay",
    });
  }
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
  const { networks, disks } = change;
  if (networks !== undefined && (networks.length === 0) !== (guest.spec.networks.length === 0)) {
    const turns = networks.length === 0 ? "without a network it would be in user mode" : "it is in user mode";
    throw new NexusError("unsupported", `${guest.name} cannot change its networks while it is there: ${turns}`, anew);
  }
  if (runs && guest.spec.machine === "microvm" && (networks ?? disks) !== undefined)
    throw new NexusError("unsupported", `${guest.name} is a microvm, which takes and loses no devices while it runs`, {
      hint: `stop it, change it, and start it again; or create it with machine q35`,
    });
}

type Change = { before: Container | Machine; after: Container | Machine; undo: AsyncDisposableStack };

/**
 * Decides about new cards, and takes those and the disks away that are to go: what the guest does not let go of stays, and nothing
 * else was changed by then. What is new comes when all is written down.
 */
async function changeDevices(r: Changer, { before, after, undo }: Change): Promise<Container | Machine> {
  if (before.kind !== "vm" || after.kind !== "vm" || !hasOtherDevices(before, after)) return after;
  if (after.spec.networks.length > 0) r.wiring.requireRights();
  const leases = new DisposableStack();
  undo.use(leases);
  const next = readmit(after, before, { at: r.guests.admission(r.guests.world), undo: leases });
  const sources = next.spec.disks.map((disk) => disk.source);
  r.volumes.make(sources, "disk");
  if (r.vms.running(before.name) === undefined) return next;
  // Devices follow what is written down; when the guest does not let go of one, the daemon tries again at its next start.
  undo.defer(() => r.matchDevices(before).catch(() => undefined));
  const left = without(before, next);
  if (hasOtherDevices(before, left)) await r.matchDevices(left);
  return next;
}

function hasOtherDevices(before: Machine, after: Machine): boolean {
  return !isDeepStrictEqual([before.spec.networks.map(cardOf), before.spec.disks], [after.spec.networks.map(cardOf), after.spec.disks]);
}

/** As it was, but for the devices it is to lose. */
function without(before: Machine, after: Machine): Machine {
  const stays = (a: { hostInterface: string }): boolean => after.attachments.some((b) => b.hostInterface === a.hostInterface);
  const disks = before.spec.disks.filter(({ name }) => after.spec.disks.some((disk) => disk.name === name));
  const networks = before.spec.networks.filter(({ network }) => after.spec.networks.some((ref) => ref.network === network));
  return { ...before, spec: { ...before.spec, networks, disks }, attachments: before.attachments.filter(stays) };
}

/** The rules, then the devices. Nothing happens between the policy that names are judged by and the rules: the old one cannot come back in. */
async function takeEffect(r: Changer, { before, after, undo }: Change): Promise<void> {
  if (after.spec.networks !== before.spec.networks || after.publishes !== before.publishes) {
    enforce(r, before, after);
    undo.defer(() => enforce(r, after, before));
  }
  await plugIn(r, { before, after });
}

function enforce(r: Changer, before: Container | Machine, after: Container | Machine): void {
  const unpinned = r.egress.reconsider();
  if (r.guests.world.live.has(after.name)) r.wiring.change(before, after, unpinned);
}

async function plugIn(r: Changer, { before, after }: Pick<Change, "before" | "after">): Promise<void> {
  if (before.kind !== "vm" || after.kind !== "vm" || r.vms.running(before.name) === undefined) return;
  if (hasOtherDevices(before, after)) await r.matchDevices(after);
}

/** Addresses of networks it left are others' once what had them is forgotten. */
function letGo(r: Changer, { before, after }: Pick<Change, "before" | "after">): void {
  const gone = before.leases.filter((lease) => !after.leases.some((one) => one.address === lease.address && one.network === lease.network));
  if (gone.length === 0) return;
  r.guests.world.cool(gone);
  r.wiring.releaseLater(gone);
}

function changePublishes(r: Changer, { before, after, undo }: Change): void {
  if (after.publishes === before.publishes) return;
  const { world } = r.guests;
  const was = world.takeClaims(before.name);
  undo.defer(() => world.giveClaims(before.name, was));
  world.giveClaims(before.name, claimPublishes(after, r.guests.admission(world), before.publishes));
  undo.defer(() => void world.takeClaims(before.name));
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
