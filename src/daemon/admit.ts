import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../base/clock.ts";
import { NexusError, SpecError, type SpecProblem } from "../base/errors.ts";
import { type Ip, ipFamily, type IpFamily } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { Name } from "../base/names.ts";
import { prefixFamily } from "../base/prefix.ts";
import { allocate } from "../plan/addresses.ts";
import { hostMac } from "../plan/attachment.ts";
import { hostInterfaceName, type NicId, nicMac } from "../plan/naming.ts";
import { claimPorts, type PortClaim } from "../plan/ports.ts";
import type { AttachmentSpec, NetworkRef, NodeSpec, PublishSpec } from "../spec/node.ts";
import type { VmSpec } from "../spec/vm.ts";
import { type AttachmentRow, type GuestRecord, type LeaseRow, type NetworkRow, ownerOf } from "../state/rows.ts";
import type { World } from "./world.ts";

export type Newcomer = { kind: "container"; spec: NodeSpec } | { kind: "vm"; spec: VmSpec } | { kind: "netns"; spec: AttachmentSpec };

export type Admission = {
  world: World;
  clock: Pick<Clock, "now">;
  remembered: (network: Name, owner: string, family: IpFamily) => Ip | undefined;
  /** Who listens on a host port now, or undefined; `publish` is a single port or range. */
  listener: (publish: PublishSpec) => string | undefined;
};

/** A Linux bridge has 1,024 port numbers and never uses number 0 (net/bridge/br_private.h BR_MAX_PORTS). */
export const bridgePortLimit = 1023;

/**
 * Decides everything about a new guest: addresses, MACs, interface names, ports. Nothing is kept when any part is refused.
 * @throws NexusError name-taken, not-found, address-*, pool-exhausted, port-taken; SpecError
 */
export function admit(newcomer: Newcomer, at: Admission): { guest: GuestRecord; claims: PortClaim[] } {
  const { name } = newcomer.spec;
  if (at.world.guests.has(name))
    throw new NexusError("name-taken", `a guest named ${name} exists already`, {
      hint: `remove it first, or choose another name`,
      details: { name },
    });
  const id = `${name.slice(0, 40)}-${randomUUID().slice(0, 8)}`;
  const refs = newcomer.spec.networks ?? [];
  checkNetworks(newcomer, at.world);
  using undo = new DisposableStack();
  const attachments: AttachmentRow[] = [];
  const leases: LeaseRow[] = [];
  for (const [index, ref] of refs.entries()) {
    const card = admitCard(ref, { id, guest: name, index, epoch: 1 }, { kind: newcomer.kind, at, undo, beside: attachments });
    attachments.push(card.attachment);
    leases.push(...card.leases);
  }
  const claims = claimPublishes({ ...newcomer, leases }, at);
  undo.move();
  return {
    guest: { id, name, createdAt: at.clock.now(), ...newcomer, ...newLifecycle(), attachments, leases, publishes: newcomer.spec.publish },
    claims,
  };
}

/** One card on a network that is there, beside those the guest has. Its addresses are taken until `undo`. @throws NexusError address-*, pool-exhausted */
export function admitCard(
  ref: MacWish,
  nic: NicId & { epoch: number },
  { kind, at, undo, beside }: { kind: Newcomer["kind"]; at: Admission; undo: DisposableStack; beside: readonly AttachmentRow[] },
): { attachment: AttachmentRow; leases: LeaseRow[] } {
  const { world, clock } = at;
  const network = world.networks.get(ref.network) as NetworkRow;
  const part = kind === "vm" ? "dhcp" : "any";
  const owner = ownerOf(nic.guest, nic.index);
  const leases = leaseAddresses(network, { ref, owner, part, at, undo }).map((address) => ({
    network: network.name,
    address,
    nic: nic.index,
    since: clock.now(),
  }));
  const hostInterface = hostInterfaceName(nic, nic.epoch, (taken) => world.isInterfaceTaken(taken));
  const mac = chooseMac(ref, nic, { world, attachments: beside });
  return { attachment: { nic: nic.index, network: network.name, hostInterface, mac, epoch: nic.epoch }, leases };
}

type MacWish = NetworkRef & { mac?: Mac | undefined };

/**
 * The one that was asked for, as only a virtual machine can, or one made from names. No two cards have the same, on any network: guests
 * may be on several. The host's ends of links count too: a bridge keeps what is sent to those.
 * @throws NexusError address-taken
 */
function chooseMac({ mac }: MacWish, nic: NicId, { world, attachments }: { world: World; attachments: readonly AttachmentRow[] }): Mac {
  const ends = (of: Mac) => [of, hostMac({ mac: of })];
  const holder = (of: Mac) =>
    attachments.some((a) => ends(a.mac).includes(of))
      ? `another card of ${nic.guest}`
      : ends(of).flatMap((end) => world.holderOfMac(end) ?? [])[0];
  if (mac === undefined) return nicMac(world.instance, nic, (made) => holder(made as Mac) !== undefined);
  const by = holder(mac);
  if (by === undefined) return mac;
  throw new NexusError("address-taken", `the MAC address ${mac} is not free: ${by} has it, or its link on the host does`, {
    hint: "leave it out to get one that is",
    details: { mac },
  });
}

/** Takes the host ports a guest asks for, all or none; whoever listens on one of `had` is the guest's own carrier. @throws NexusError port-taken; SpecError for ports that lead nowhere */
export function claimPublishes(
  guest: Newcomer & { leases: readonly LeaseRow[] },
  at: Admission,
  had: readonly PublishSpec[] = [],
): PortClaim[] {
  const { name, publish: publishes } = guest.spec;
  const refs = guest.spec.networks ?? [];
  if (guest.kind === "vm" && refs.length === 0) refuseUserPublishes(publishes);
  else refuseDeadEnds(publishes, { refs, leases: guest.leases, world: at.world });
  const claims = claimPorts(at.world.ports, `guest ${name}`, publishes);
  using undo = new DisposableStack();
  undo.defer(() => claims.forEach((claim) => at.world.ports.delete(claim)));
  for (const publish of publishes) if (!had.some((one) => isDeepStrictEqual(one, publish))) refuseListener(publish, at);
  undo.move();
  return claims;
}

/** New interface names for a guest that is about to be attached again; MACs and addresses stay. */
export function renewInterfaces(guest: GuestRecord, world: World): GuestRecord {
  const epoch = guest.epoch + 1;
  const attachments = guest.attachments.map((a) => ({
    ...a,
    epoch,
    hostInterface: hostInterfaceName({ id: guest.id, guest: guest.name, index: a.nic }, epoch, (taken) => world.isInterfaceTaken(taken)),
  }));
  return { ...guest, epoch, attachments };
}

function newLifecycle() {
  return {
    desired: "running",
    state: "created",
    exit: undefined,
    problem: undefined,
    restarts: 0,
    epoch: 1,
    runtime: undefined,
    startedAt: undefined,
  } as const;
}

/** `had`: networks it is on already. @throws NexusError not-found, pool-exhausted; SpecError */
export function checkNetworks(newcomer: Newcomer, world: World, had: readonly NetworkRef[] = []): void {
  const refs = newcomer.spec.networks ?? [];
  const problems: SpecProblem[] = [];
  for (const [i, ref] of refs.entries()) {
    const network = world.networks.get(ref.network);
    if (network === undefined) {
      const known = [...world.networks.keys()].join(", ");
      throw new NexusError("not-found", `there is no network ${ref.network}`, {
        hint: known === "" ? `create it: nexus network create ${ref.network}` : `networks: ${known}`,
      });
    }
    if (refs.findIndex((r) => r.network === ref.network) !== i)
      problems.push({ path: `networks[${i}]`, problem: `network ${ref.network} is named twice` });
    const isNew = !had.some((one) => one.network === ref.network);
    if (isNew && world.attachedTo(ref.network) >= bridgePortLimit) {
      throw new NexusError("pool-exhausted", `network ${ref.network} has ${bridgePortLimit} guests, the most a bridge can have`, {
        hint: "create another network and peer the two",
      });
    }
  }
  const inUserMode = newcomer.kind === "vm" && refs.length === 0;
  if (!inUserMode && newcomer.spec.publish.length > 0 && !refs.some((ref) => world.networks.get(ref.network)?.spec.internal === false)) {
    problems.push({
      path: "publish",
      problem: "ports cannot be published from internal networks only",
      hint: "attach the guest to a network that is not internal as well",
    });
  }
  if (problems.length > 0) throw new SpecError(problems);
}

type LeaseWish = {
  ref: { network: Name; address?: Ip | undefined; address6?: Ip | undefined };
  owner: string;
  part: "any" | "dhcp";
  at: Admission;
  undo: DisposableStack;
};

/** One address for each family the network has. */
function leaseAddresses(network: NetworkRow, { ref, owner, part, at, undo }: LeaseWish): Ip[] {
  const pools = at.world.pools.get(network.name) ?? [];
  const requests = [ref.address, ref.address6].filter((a) => a !== undefined);
  const families = ([4, 6] as const).filter(
    (family) => network.subnets.some((s) => prefixFamily(s.prefix) === family) || requests.some((r) => ipFamily(r) === family),
  );
  return families.map((family) => {
    const request = requests.find((r) => ipFamily(r) === family);
    const address = allocate(pools, {
      network: network.name,
      owner,
      family,
      request,
      remembered: at.remembered(network.name, owner, family),
      part,
    });
    undo.defer(() => pools.find((pool) => pool.contains(address))?.release(address));
    return address;
  });
}

/** @throws SpecError for ports of a host address whose family the guest does not have */
function refuseDeadEnds(
  publishes: readonly PublishSpec[],
  { refs, leases, world }: { refs: readonly NetworkRef[]; leases: readonly LeaseRow[]; world: World },
): void {
  const nic = refs.findIndex((ref) => world.networks.get(ref.network)?.spec.internal === false);
  const families = new Set(leases.filter((lease) => lease.nic === nic).map((lease) => ipFamily(lease.address)));
  const problems = publishes.flatMap((publish, i): SpecProblem[] => {
    // What is published on ::1 the daemon carries itself, to whatever address there is.
    if (publish.hostAddress === undefined || publish.hostAddress === "::1" || families.has(ipFamily(publish.hostAddress))) return [];
    const family = ipFamily(publish.hostAddress);
    return [
      {
        path: `publish[${i}].hostAddress`,
        problem: `the guest has no IPv${family} address for ${publish.hostAddress} to lead to`,
        hint: "publish on an address of the other family, or give the network such a subnet",
      },
    ];
  });
  if (problems.length > 0) throw new SpecError(problems);
}

/** @throws SpecError for what a virtual machine without networks cannot publish: its own process listens, and only by IPv4 */
function refuseUserPublishes(publishes: readonly PublishSpec[]): void {
  const problems = publishes.flatMap((publish, i): SpecProblem[] =>
    publish.hostAddress === undefined || ipFamily(publish.hostAddress) === 4
      ? []
      : [
          {
            path: `publish[${i}].hostAddress`,
            problem: `user mode cannot listen on ${publish.hostAddress}: it forwards IPv4 only`,
            hint: "attach the virtual machine to a network",
          },
        ],
  );
  if (problems.length > 0) throw new SpecError(problems);
}

function refuseListener(publish: PublishSpec, at: Admission): void {
  const holder = at.listener(publish);
  if (holder === undefined) return;
  throw new NexusError("port-taken", `${publish.protocol} port ${publish.hostPort} of the host is used by ${holder}`, {
    hint: "choose another host port, or end that program",
    details: { port: publish.hostPort, holder },
  });
}
