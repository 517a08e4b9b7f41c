import { systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { Name } from "../base/names.ts";
import { hostMac } from "../plan/attachment.ts";
import { netnsName } from "../plan/naming.ts";
import type { Desired } from "../plan/plan.ts";
import { Pool } from "../plan/pool.ts";
import { type PortClaim, PortTable } from "../plan/ports.ts";
import type { AttachmentRecord, PublishRecord } from "../plan/records.ts";
import { dhcpRangeOf, reservedOf } from "../spec/network.ts";
import { Pins } from "./pins.ts";
import { type GuestRecord, type LeaseRow, type NetworkRow, ownerOf } from "../state/rows.ts";
import type { Snapshot } from "../state/state.ts";

/** What state holds, in memory and indexed: the daemon reads here and writes to state first. */
export class World {
  readonly instance: string;
  readonly networks = new Map<Name, NetworkRow>();
  readonly guests = new Map<Name, GuestRecord>();
  /** Guests that were removed and whose kernel objects are still going, by id. */
  readonly leaving = new Map<string, GuestRecord>();
  /** Ids of those somebody is removing at this moment. */
  readonly departing = new Set<string>();
  /** Guests whose attachments belong in the kernel now: those that run. */
  readonly live = new Set<Name>();
  readonly pools = new Map<Name, Pool[]>();
  readonly ports = new PortTable();
  /** What guests may reach because they asked for it by name. */
  readonly pins = new Pins(systemClock);
  readonly #claims = new Map<Name, PortClaim[]>();
  /** Network of each host interface of a guest. */
  readonly #interfaces = new Map<string, { guest: Name; network: Name }>();
  /** Whose a MAC address is: guests' cards and the host's ends of their links. */
  readonly #macs = new Map<Mac, Name>();
  /** Whose an address is, of guests that run or not. */
  readonly #holders = new Map<Ip, Name>();
  readonly #portsOnBridge = new Map<Name, number>();

  constructor(instance: string, snapshot: Pick<Snapshot, "networks" | "guests">) {
    this.instance = instance;
    for (const network of snapshot.networks) this.addNetwork(network);
    for (const guest of snapshot.guests) {
      if (guest.desired === "absent") this.leaving.set(guest.id, guest);
      else this.#restore(guest);
    }
  }

  addNetwork(network: NetworkRow): void {
    this.networks.set(network.name, network);
    this.pools.set(network.name, poolsOf(network));
  }

  removeNetwork(name: Name): void {
    this.networks.delete(name);
    this.pools.delete(name);
  }

  /** A guest just admitted: its addresses were taken from the pools by whoever admitted it. */
  addGuest(guest: GuestRecord, claims: PortClaim[]): void {
    this.guests.set(guest.name, guest);
    this.#claims.set(guest.name, claims);
    this.#countInterfaces(guest, 1);
  }

  /** Frees the guest's name, addresses and ports; its links may still be going. */
  removeGuest(guest: GuestRecord): void {
    this.guests.delete(guest.name);
    this.live.delete(guest.name);
    this.cool(guest.leases);
    this.takeClaims(guest.name);
    this.#countInterfaces(guest, -1);
  }

  /** Addresses that were let go; see `thaw`. */
  cool(leases: readonly LeaseRow[]): void {
    for (const { network, address } of leases) this.#poolOf(network, address)?.cool(address);
  }

  /** The ports of a guest, free for others from now on. */
  takeClaims(name: Name): PortClaim[] {
    const claims = this.#claims.get(name) ?? [];
    for (const claim of claims) this.ports.delete(claim);
    this.#claims.delete(name);
    return claims;
  }

  /** They are the guest's again; whoever took them from the table has put them there. */
  giveClaims(name: Name, claims: PortClaim[]): void {
    for (const claim of claims) this.ports.add(claim);
    this.#claims.set(name, claims);
  }

  /** What a removed guest held may be anybody's from now on, unless it has a holder again. */
  thaw(leases: readonly Pick<LeaseRow, "network" | "address">[]): void {
    for (const { network, address } of leases) {
      const pool = this.#poolOf(network, address);
      if (pool?.isCooling(address) === true) pool.release(address);
    }
  }

  /** Whether an address is a guest's, who may have been removed since and made again. */
  isHeld({ network, address }: Pick<LeaseRow, "network" | "address">): boolean {
    const pool = this.#poolOf(network, address);
    return pool?.holderOf(address) !== undefined && !pool.isCooling(address);
  }

  #poolOf(network: Name, address: Ip): Pool | undefined {
    return this.pools.get(network)?.find((pool) => pool.contains(address));
  }

  /** The same guest with new interfaces or another state. */
  replaceGuest(guest: GuestRecord): void {
    const before = this.guests.get(guest.name);
    this.guests.set(guest.name, guest);
    if (before?.attachments === guest.attachments) return;
    if (before !== undefined) this.#countInterfaces(before, -1);
    this.#countInterfaces(guest, 1);
  }

  /** The network that an interface which should be there now belongs to: a bridge, or a live guest's host side. */
  networkOfLink(name: string): NetworkRow | undefined {
    const holder = this.#interfaces.get(name);
    if (holder !== undefined) return this.live.has(holder.guest) ? this.networks.get(holder.network) : undefined;
    for (const network of this.networks.values()) if (network.bridge === name) return network;
    return undefined;
  }

  isInterfaceTaken(name: string): boolean {
    return this.#interfaces.has(name);
  }

  /** Who has a MAC address, in words; undefined when it is free. */
  holderOfMac(mac: Mac): string | undefined {
    const guest = this.#macs.get(mac);
    if (guest !== undefined) return `guest ${guest}`;
    for (const network of this.networks.values()) if (network.mac === mac) return `the gateway of network ${network.name}`;
    for (const { name, attachments } of this.leaving.values())
      if (attachments.some((a) => a.mac === mac)) return `guest ${name}, which is being removed`;
    return undefined;
  }

  /** Of guests that run. */
  addressesOn(network: Name): Ip[] {
    const live = [...this.live].flatMap((name) => this.guests.get(name)?.leases ?? []);
    return live.filter((lease) => lease.network === network).map(({ address }) => address);
  }

  guestAt(address: Ip): GuestRecord | undefined {
    const name = this.#holders.get(address);
    return name === undefined ? undefined : this.guests.get(name);
  }

  attachedTo(network: Name): number {
    return this.#portsOnBridge.get(network) ?? 0;
  }

  desired(): Desired {
    const live = [...this.live].flatMap((name) => this.guests.get(name) ?? []);
    return {
      instance: this.instance,
      networks: [...this.networks.values()],
      attachments: live.flatMap(attachmentsOf),
      publishes: live.flatMap((guest) => publishesOf(guest, this.networks)),
      pins: this.pins.all(),
      userMode: [...live, ...this.leaving.values()].some(isInUserMode),
    };
  }

  /** Namespaces that should not be there now: of guests that do not run, or are on their way out. */
  dormant(): string[] {
    return [...this.guests.values(), ...this.leaving.values()]
      .filter((guest) => guest.kind !== "vm" && !this.live.has(guest.name))
      .map((guest) => netnsName(guest.name));
  }

  #countInterfaces(guest: GuestRecord, by: 1 | -1): void {
    for (const { address } of guest.leases)
      if (by === 1) this.#holders.set(address, guest.name);
      else this.#holders.delete(address);
    for (const a of guest.attachments) {
      if (by === 1) this.#interfaces.set(a.hostInterface, { guest: guest.name, network: a.network });
      else this.#interfaces.delete(a.hostInterface);
      for (const mac of [a.mac, hostMac(a)])
        if (by === 1) this.#macs.set(mac, guest.name);
        else this.#macs.delete(mac);
      this.#portsOnBridge.set(a.network, this.attachedTo(a.network) + by);
    }
  }

  #restore(guest: GuestRecord): void {
    for (const lease of guest.leases) {
      for (const pool of this.pools.get(lease.network) ?? [])
        if (pool.contains(lease.address)) pool.take(lease.address, ownerOf(guest.name, lease.nic));
    }
    const claims = guest.publishes.map((p): PortClaim => ({
      protocol: p.protocol,
      hostAddress: p.hostAddress,
      hostPort: p.hostPort,
      hostPortEnd: p.hostPortEnd,
      by: `guest ${guest.name}`,
    }));
    for (const claim of claims) this.ports.add(claim);
    this.addGuest(guest, claims);
  }
}

/** Its connections are QEMU's own: it is on no network. */
export function isInUserMode(guest: GuestRecord): boolean {
  return guest.kind === "vm" && guest.spec.networks.length === 0;
}

export function attachmentsOf(guest: GuestRecord): AttachmentRecord[] {
  return guest.attachments.map((a) =>
    withEgress(guest, {
      guest: guest.name,
      nic: a.nic,
      network: a.network,
      hostInterface: a.hostInterface,
      mac: a.mac,
      addresses: addressesOf(guest, a.nic),
      end: guest.kind === "vm" ? { kind: "tap", queues: guest.spec.queues } : { kind: "namespace", netns: netnsName(guest.name) },
    }),
  );
}

function withEgress(guest: GuestRecord, attachment: AttachmentRecord): AttachmentRecord {
  const egress = guest.spec.networks?.find((ref) => ref.network === attachment.network)?.egress;
  return egress === undefined ? attachment : { ...attachment, egress };
}

/** Published ports lead to the first network that is reachable at all. */
export function publishesOf(guest: GuestRecord, networks: ReadonlyMap<Name, NetworkRow>): PublishRecord[] {
  if (guest.publishes.length === 0) return [];
  const nic = guest.attachments.find((a) => networks.get(a.network)?.spec.internal === false);
  if (nic === undefined) return [];
  const targets = addressesOf(guest, nic.nic);
  return guest.publishes.map((publish) => ({ ...publish, guest: guest.name, targets }));
}

function addressesOf(guest: GuestRecord, nic: number): Ip[] {
  return guest.leases.filter((l) => l.nic === nic).map((l) => l.address);
}

/**
 * A pool for each subnet of the network, all of it free.
 * @throws SpecError, NexusError address-outside when a subnet cannot serve guests
 */
export function poolsOf({ subnets, spec }: NetworkRow): Pool[] {
  return subnets.map(({ prefix, gateway }) => {
    const wish = spec.subnets.find((asked) => asked !== "auto" && asked.prefix === prefix);
    return new Pool({ prefix, gateway, ...(wish === undefined ? {} : { reserved: reservedOf(wish), dhcpRange: dhcpRangeOf(wish) }) });
  });
}
