import type { PublishSpec } from "../../src/spec/node.ts";
import type { RestartPolicy } from "../../src/spec/restart-policy.ts";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";

/** What was asked of a network, and what of it was answered. */
export type NetworkWish = {
  name: string;
  subnets?: string[];
  ipv6: boolean;
  nat: boolean;
  isolation: "none" | "guests";
  internal: boolean;
  peers: string[];
};

export type GuestWish = {
  name: string;
  kind: "netns" | "container";
  networks: string[];
  publish: PublishSpec[];
  restart?: RestartPolicy;
  /** Whether it was asked to run; a container may have ended by itself since. */
  wanted: "running" | "stopped";
  addresses?: string[];
  /** Of a running container that nothing happened to: it must stay. */
  pid?: number;
};

export type NetworkWorld = ReadonlyMap<string, NetworkWish>;

/**
 * What must be there. A request without an answer leaves more than one possibility, and looking tells which it is;
 * anything between the two is a fault.
 */
export class Ledger {
  #worlds: NetworkWorld[] = [new Map()];
  readonly #guests = new Map<string, (GuestWish | undefined)[]>();

  get networks(): NetworkWish[] {
    return [...(this.#worlds[0]?.values() ?? [])];
  }

  get guests(): GuestWish[] {
    return [...this.#guests.values()].flatMap((possible) => possible[0] ?? []);
  }

  guest(name: string): GuestWish | undefined {
    return this.#guests.get(name)?.[0];
  }

  /** From now on the networks may be as they were or as given. */
  networksMayBecome(world: NetworkWorld): void {
    this.#worlds.push(world);
  }

  networksAre(world: NetworkWorld): void {
    this.#worlds = [world];
  }

  networksStay(): void {
    this.#worlds.length = 1;
  }

  guestMayBecome(name: string, wish: GuestWish | undefined): void {
    const now = this.#guests.get(name) ?? [undefined];
    this.#guests.set(name, [...now, wish]);
  }

  guestIs(name: string, wish: GuestWish | undefined): void {
    if (wish === undefined) this.#guests.delete(name);
    else this.#guests.set(name, [wish]);
  }

  guestStays(name: string): void {
    this.guestIs(name, this.guest(name));
  }

  /** Compares with what the daemon says, settles what was open, and gives what is not as it must be. */
  settle(networks: readonly NetworkView[], guests: readonly GuestView[]): string[] {
    const faults: string[] = [];
    const comparisons = this.#worlds.map((world) => ({ world, wrong: networkFaults(world, networks) }));
    const fitting = comparisons.find((c) => c.wrong.length === 0);
    if (fitting === undefined)
      faults.push(...comparisons.flatMap((c, i) => c.wrong.map((line) => `possibility ${i + 1} of ${comparisons.length}: ${line}`)));
    else this.#worlds = [withSubnets(fitting.world, networks)];

    const seen = new Map(guests.map((guest) => [guest.name as string, guest]));
    for (const name of seen.keys())
      if (!this.#guests.has(name)) faults.push(`guest ${name} is there and was never asked for, or was removed`);
    for (const [name, possible] of this.#guests) {
      const view = seen.get(name);
      const wrongs = possible.map((wish) => guestFaults(name, wish, view));
      const at = wrongs.findIndex((wrong) => wrong.length === 0);
      if (at === -1) faults.push(...wrongs.flat());
      else this.guestIs(name, view === undefined ? undefined : { ...(possible[at] as GuestWish), addresses: addressesOf(view) });
    }
    return faults;
  }
}

/** Peering as the daemon keeps it: after a request on one network, its pairs are those it named. */
export function withNetwork(world: NetworkWorld, wish: NetworkWish): NetworkWorld {
  const next = new Map(
    [...world].map(([name, other]): [string, NetworkWish] => {
      const peers = other.peers.filter((peer) => peer !== wish.name);
      return [name, { ...other, peers: wish.peers.includes(name) ? [...peers, wish.name] : peers }];
    }),
  );
  next.set(wish.name, wish);
  return next;
}

export function withoutNetwork(world: NetworkWorld, name: string): NetworkWorld {
  const next = new Map(
    [...world].map(([key, other]): [string, NetworkWish] => [key, { ...other, peers: other.peers.filter((peer) => peer !== name) }]),
  );
  next.delete(name);
  return next;
}

function networkFaults(world: NetworkWorld, views: readonly NetworkView[]): string[] {
  const faults = views.filter((view) => !world.has(view.name)).map((view) => `network ${view.name} is there and should not be`);
  for (const wish of world.values()) {
    const view = views.find((v) => v.name === wish.name);
    if (view === undefined) {
      faults.push(`network ${wish.name} is lost`);
      continue;
    }
    const said = {
      nat: view.nat,
      isolation: view.isolation,
      internal: view.internal,
      peers: view.peers.toSorted(),
      subnets: wish.subnets === undefined ? undefined : view.subnets.map((s) => s.prefix),
    };
    const asked = {
      nat: wish.nat,
      isolation: wish.isolation,
      internal: wish.internal,
      peers: wish.peers.toSorted(),
      subnets: wish.subnets,
    };
    if (JSON.stringify(said) !== JSON.stringify(asked))
      faults.push(`network ${wish.name} is ${JSON.stringify(said)} and should be ${JSON.stringify(asked)}`);
    if (view.problem !== undefined) faults.push(`network ${wish.name} has a problem: ${view.problem}`);
  }
  return faults;
}

function withSubnets(world: NetworkWorld, views: readonly NetworkView[]): NetworkWorld {
  return new Map(
    views.flatMap((view) => {
      const wish = world.get(view.name);
      return wish === undefined ? [] : [[view.name, { ...wish, subnets: view.subnets.map((s) => s.prefix) }]];
    }),
  );
}

function guestFaults(name: string, wish: GuestWish | undefined, view: GuestView | undefined): string[] {
  if (wish === undefined) return view === undefined ? [] : [`guest ${name} is there and should not be`];
  if (view === undefined) return [`guest ${name} is lost`];
  const faults: string[] = [];
  const differ = (what: string, said: unknown, asked: unknown) => {
    if (JSON.stringify(said) !== JSON.stringify(asked))
      faults.push(`guest ${name}: ${what} is ${JSON.stringify(said)} and should be ${JSON.stringify(asked)}`);
  };
  differ("kind", view.kind, wish.kind);
  differ(
    "networks",
    view.attachments.map((a) => a.network),
    wish.networks,
  );
  differ("published ports", view.publish.map(publishText), wish.publish.map(publishText));
  if (wish.addresses !== undefined) differ("addresses", addressesOf(view), wish.addresses);
  if (wish.pid !== undefined) differ("pid", view.pid, wish.pid);
  // One that has ended and is about to be started again has not been stopped either.
  const restarts = view.state === "starting" || (view.state === "exited" && (wish.restart ?? "no") !== "no");
  if (wish.wanted === "stopped" && (view.pid !== undefined || restarts)) faults.push(`guest ${name} is ${view.state} and was to stop`);
  const ended = view.state !== "running";
  if (wish.wanted === "running" && ended && (wish.kind === "netns" || (wish.restart ?? "no") !== "no"))
    faults.push(`guest ${name} is ${view.state} and should run`);
  return faults;
}

export function addressesOf(view: GuestView): string[] {
  return view.attachments.flatMap((a) => a.addresses);
}

export function publishText(p: PublishSpec): string {
  return `${p.hostAddress ?? "*"}:${p.hostPort}-${p.hostPortEnd ?? p.hostPort}:${p.guestPort}/${p.protocol}`;
}
