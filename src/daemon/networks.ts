import type { Clock } from "../base/clock.ts";
import { joinErrors, NexusError, SpecError } from "../base/errors.ts";
import type { Ip } from "../base/ip.ts";
import type { Name } from "../base/names.ts";
import { type Prefix, prefixContains, prefixFamily, prefixRange } from "../base/prefix.ts";
import { restricts } from "../plan/egress.ts";
import { peersOf } from "../plan/firewall/elements.ts";
import { bridgeMac, bridgeName } from "../plan/naming.ts";
import { Pool } from "../plan/pool.ts";
import { checkSubnet, pickSubnet, type TakenPrefix, ulaPrefix } from "../plan/subnets.ts";
import { kept } from "../spec/egress-wish.ts";
import { type NetworkChange, type NetworkSpec, reservedOf } from "../spec/network.ts";
import type { NetworkRow, SubnetRow } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import type { NetworkEngine } from "./network-access.ts";
import { poolsOf, type World } from "./world.ts";

export type NetworksOptions = {
  world: World;
  state: State;
  wiring: NetworkEngine;
  chronicle: Chronicle;
  clock: Clock;
  /** Told after a network came, changed or went: its DNS listens and answers accordingly. */
  onChange: (network: NetworkRow, present: boolean) => void;
  /** Asked when an egress policy changed, before the ruleset follows: takes back what guests reach by names they may no longer. */
  reconsider: () => void;
};

/** Networks: in state, in memory and in the kernel, always changed in that order. */
export class Networks {
  readonly #o: NetworksOptions;

  constructor(options: NetworksOptions) {
    this.#o = options;
  }

  all(): NetworkRow[] {
    return [...this.#o.world.networks.values()];
  }

  /** @throws NexusError not-found */
  get(name: Name): NetworkRow {
    const network = this.#o.world.networks.get(name);
    if (network !== undefined) return network;
    throw new NexusError("not-found", `there is no network ${name}`, { hint: "nexus network ls lists them" });
  }

  /** Brings a network up, or leaves everything as it was. @throws NexusError name-taken, subnet-overlap, bridge-foreign, pool-exhausted; SpecError; KernelError */
  create(spec: NetworkSpec): NetworkRow {
    const { world, state, wiring } = this.#o;
    const row = this.decide(spec);
    wiring.checkBridge(row);
    state.networks.insert(row);
    world.addNetwork(row);
    try {
      wiring.addNetwork(row);
    } catch (error) {
      world.removeNetwork(row.name);
      state.networks.delete(row.name);
      wiring.settle();
      throw error;
    }
    this.#tell([row, ...peersOf(row, this.all())]);
    this.#o.chronicle.tell({
      kind: "network.created",
      subject: row.name,
      message: `network ${row.name} created: ${row.subnets.map((s) => s.prefix).join(", ")} on ${row.bridge}`,
    });
    return row;
  }

  /** What `create` would make in this world or a copy of it; nothing is changed. */
  decide(spec: NetworkSpec, world: World = this.#o.world): NetworkRow {
    const { wiring, clock, state } = this.#o;
    const all = [...world.networks.values()];
    if (world.networks.has(spec.name))
      throw new NexusError("name-taken", `a network named ${spec.name} exists already`, { details: { name: spec.name } });
    this.#checkPeers(spec.name, spec.peers, world);
    const index = freeIndex(all);
    const bridges = new Set<string>(all.map((n) => n.bridge));
    const bridge = spec.bridge ?? bridgeName(spec.name, (name) => bridges.has(name));
    if (bridges.has(bridge))
      throw new NexusError("name-taken", `bridge ${bridge} belongs to another network`, { hint: "choose another bridge name" });
    const macs = new Set<string>(all.map((n) => n.mac));
    const taken: TakenPrefix[] = [
      ...wiring.routedPrefixes(),
      ...all.flatMap((n) => n.subnets.map((s) => ({ prefix: s.prefix, by: `network ${n.name}` }))),
    ];
    const subnets = chooseSubnets(spec, { taken, hostId: state.identity.hostId, index });
    const row: NetworkRow = {
      name: spec.name,
      index,
      bridge,
      mac: bridgeMac(world.instance, spec.name, (mac) => macs.has(mac)),
      spec,
      createdAt: clock.now(),
      subnets,
    };
    // A pool refuses subnets that cannot serve guests, with the reason.
    poolsOf(row);
    return row;
  }

  /** @throws NexusError not-found, in-use */
  change(name: Name, change: NetworkChange): NetworkRow {
    const { world, state, wiring } = this.#o;
    const before = this.get(name);
    if (change.peers !== undefined) this.#checkPeers(name, change.peers);
    const spec = { ...before.spec, ...dropUndefined(change), egress: kept(change.egress ?? before.spec.egress) };
    if (spec.internal && !before.spec.internal) {
      const publisher = [...world.guests.values()].find((g) => g.publishes.length > 0 && g.attachments.some((a) => a.network === name));
      if (publisher !== undefined)
        throw new NexusError("in-use", `guest ${publisher.name} publishes ports on network ${name}, so it cannot become internal`, {
          hint: "remove the guest first",
        });
    }
    const after = { ...before, spec };
    const formerPeers = peersOf(before, this.all());
    // Taking back a peering that the other side asked for as well needs its row changed too.
    const rows = [after, ...(change.peers === undefined ? [] : this.#withoutPeer(name, change.peers))];
    state.transaction(() => rows.forEach((row) => state.networks.setSpec(row.name, row.spec)));
    for (const row of rows) world.networks.set(row.name, row);
    this.#o.reconsider();
    // The tables are as they were last meant to be, which is no longer what is meant.
    wiring.distrustFirewall();
    const { failed } = wiring.settle();
    const changed = Object.keys(dropUndefined(change));
    if (changed.some((key) => key !== "egress" && key !== "labels")) wiring.forgetFlows(after);
    else if (changed.includes("egress") && restricts(after.spec.egress)) wiring.forgetDepartures(world.addressesOn(name));
    this.#tell([after, ...formerPeers, ...peersOf(after, this.all())]);
    this.#o.chronicle.tell({
      kind: "network.changed",
      subject: name,
      message: `network ${name} changed: ${changed.join(", ")}`,
    });
    const error = joinErrors(failed, `network ${name} is changed, but not all of it could be made so`);
    if (error !== undefined) throw error;
    return after;
  }

  /** @throws NexusError not-found, in-use naming the guests */
  remove(name: Name): void {
    const { world, state, wiring } = this.#o;
    const network = this.get(name);
    const users = [...world.guests.values(), ...world.leaving.values()].filter((g) => g.attachments.some((a) => a.network === name));
    if (users.length > 0) {
      throw new NexusError("in-use", `network ${name} is used by ${users.map((g) => g.name).join(", ")}`, {
        hint: "remove these guests first, or use --force",
        details: { guests: users.map((g) => g.name) },
      });
    }
    const before = this.all();
    const formerPeers = peersOf(network, before);
    const rows = this.#withoutPeer(name, []);
    state.lettingGo(() =>
      state.transaction(() => {
        for (const row of rows) state.networks.setSpec(row.name, row.spec);
        state.networks.delete(name);
      }),
    );
    for (const row of rows) world.networks.set(row.name, row);
    world.removeNetwork(name);
    this.#o.onChange(network, false);
    wiring.removeNetwork(network, before);
    this.#tell(formerPeers);
    this.#o.chronicle.tell({ kind: "network.removed", subject: name, message: `network ${name} removed` });
  }

  /** What a network may see by name changes with its peers, and theirs with it. */
  #tell(networks: readonly { name: Name }[]): void {
    for (const name of new Set(networks.map((n) => n.name))) {
      const network = this.#o.world.networks.get(name);
      if (network !== undefined) this.#o.onChange(network, true);
    }
  }

  #checkPeers(name: Name, peers: readonly Name[], world: World = this.#o.world): void {
    const missing = peers.filter((peer) => peer !== name && !world.networks.has(peer));
    if (missing.length > 0)
      throw new NexusError("not-found", `there is no network ${missing.join(", ")} to peer with`, {
        hint: "create it first; peering holds in both directions",
      });
    if (peers.includes(name)) throw new SpecError([{ path: "peers", problem: `network ${name} cannot be its own peer` }]);
  }

  /** The networks that asked to peer with this one and are not kept, without that wish. */
  #withoutPeer(name: Name, kept: readonly Name[]): NetworkRow[] {
    const askers = this.all().filter((other) => other.name !== name && !kept.includes(other.name) && other.spec.peers.includes(name));
    return askers.map((other) => ({ ...other, spec: { ...other.spec, peers: other.spec.peers.filter((peer) => peer !== name) } }));
  }
}

/** The smallest index no network has. */
function freeIndex(networks: readonly NetworkRow[]): number {
  const used = new Set(networks.map((n) => n.index));
  for (let index = 1; ; index++) if (!used.has(index)) return index;
}

type SubnetChoice = { taken: readonly TakenPrefix[]; hostId: bigint; index: number };

function chooseSubnets(spec: NetworkSpec, { taken, hostId, index }: SubnetChoice): SubnetRow[] {
  const chosen: SubnetRow[] = [];
  const all = () => [...taken, ...chosen.map((s) => ({ prefix: s.prefix, by: `network ${spec.name} itself` }))];
  const wishes = spec.ipv6 ? [...spec.subnets, { prefix: ulaPrefix(hostId, index) }] : spec.subnets;
  for (const [i, wish] of wishes.entries()) {
    const prefix: Prefix = wish === "auto" ? pickSubnet(all()) : wish.prefix;
    const asked = wish !== "auto" && "gateway" in wish ? (wish.gateway as Ip | undefined) : undefined;
    const { gateway } = new Pool({ prefix, gateway: asked });
    if (!prefixContains(prefix, gateway))
      throw new SpecError([{ path: `subnets[${i}].gateway`, problem: `${gateway} is not in ${prefix}` }]);
    checkReserved({ prefix, gateway }, reservedOf(wish), i);
    checkSubnet(prefix, all());
    chosen.push({ prefix, gateway });
  }
  return chosen;
}

/** A range outside the subnet would reserve nothing: a slip of the pen, told as one. */
function checkReserved({ prefix, gateway }: SubnetRow, reserved: readonly Prefix[], i: number): void {
  const { first, last } = prefixRange(prefix);
  const problems = reserved.flatMap((range, j) => {
    const { first: from, last: to } = prefixRange(range);
    const inside = prefixFamily(range) === prefixFamily(prefix) && from >= first && to <= last;
    return inside ? [] : [{ path: `subnets[${i}].reserved[${j}]`, problem: `${range} does not lie within ${prefix}` }];
  });
  if (problems.length > 0) throw new SpecError(problems);
  if (new Pool({ prefix, gateway, reserved }).size === 0)
    throw new SpecError([{ path: `subnets[${i}].reserved`, problem: `nothing of ${prefix} is left for guests` }]);
}

function dropUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
