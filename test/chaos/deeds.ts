import type { Client } from "../../src/api/client.ts";
import { type ErrorCode, NexusError } from "../../src/base/errors.ts";
import type { Name } from "../../src/base/names.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Port } from "../../src/base/port.ts";
import type { PublishSpec } from "../../src/spec/node.ts";
import type { RestartPolicy } from "../../src/spec/restart-policy.ts";
import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import type { Dice } from "./dice.ts";
import { addressesOf, type GuestWish, type Ledger, type NetworkWish, withNetwork, withoutNetwork } from "./ledger.ts";

/** One request: what may come of it, and what is known once it is answered. */
export type Deed = {
  say: string;
  /** Notes what may be there from the moment of sending. */
  mayBecome: () => void;
  send: (client: Client) => Promise<unknown>;
  done: (answer: unknown) => void;
  refused: () => void;
  /** Refusals that are no fault. */
  mayRefuse: readonly ErrorCode[];
};

export type Limits = { networks: number; guests: number; containers: number; prefix: string };

/** Makes up the next request; `busy` are names that a request under way is about. */
export function nextDeed(
  dice: Dice,
  ledger: Ledger,
  { limits, busy, networksBusy }: { limits: Limits; busy: ReadonlySet<string>; networksBusy: boolean },
): Deed | undefined {
  const networks = ledger.networks;
  const guests = ledger.guests.filter((g) => !busy.has(g.name) && g.name !== steadyGuest);
  const containers = guests.filter((g) => g.kind === "container");
  const throwOf = dice.below(100);
  if (throwOf < 12) return networksBusy || networks.length >= limits.networks ? undefined : createNetwork(dice, ledger, limits);
  if (throwOf < 20) return networksBusy ? undefined : removeNetwork(dice, ledger);
  if (throwOf < 30) return networksBusy ? undefined : changeNetwork(dice, ledger);
  if (throwOf < 62)
    return ledger.guests.length >= limits.guests || networks.length === 0 ? undefined : createAttachment(dice, ledger, limits);
  if (throwOf < 84) return removeGuest(dice.one(guests.filter((g) => g.kind === "netns")), ledger);
  if (throwOf < 90)
    return ledger.guests.filter((g) => g.kind === "container").length >= limits.containers || networks.length === 0
      ? undefined
      : createNode(dice, ledger, limits);
  if (throwOf < 93) return removeGuest(dice.one(containers), ledger);
  if (throwOf < 97) return stopNode(dice.one(containers.filter((g) => g.wanted === "running")), ledger);
  return startNode(dice.one(containers), ledger);
}

/** The guest that is left alone, and whose packets are counted. */
export const steadyGuest = "steady";
export const steadyNetwork = "still";

function createNetwork(dice: Dice, ledger: Ledger, limits: Limits): Deed {
  const name = `w${dice.below(limits.networks * 2)}`;
  const internal = dice.chance(0.15);
  const wish: NetworkWish = {
    name,
    ipv6: dice.chance(0.4),
    nat: dice.chance(0.8),
    isolation: dice.chance(0.2) ? "guests" : "none",
    internal,
    peers: dice.some(
      ledger.networks.map((n) => n.name).filter((n) => n !== name),
      2,
    ),
  };
  const { ipv6, nat, isolation, peers } = wish;
  const world = worldOf(ledger);
  return {
    say: `create network ${name}`,
    mayBecome: () => ledger.networksMayBecome(withNetwork(world, wish)),
    send: (client) => client.call("network.create", { body: { name, ipv6, nat, isolation, internal, peers } }),
    done: (answer) => ledger.networksAre(withNetwork(world, { ...wish, subnets: (answer as NetworkView).subnets.map((s) => s.prefix) })),
    refused: () => ledger.networksStay(),
    mayRefuse: world.has(name) ? ["name-taken"] : [],
  };
}

function removeNetwork(dice: Dice, ledger: Ledger): Deed | undefined {
  const wish = dice.one(ledger.networks.filter((n) => n.name !== steadyNetwork));
  if (wish === undefined) return undefined;
  const world = worldOf(ledger);
  return {
    say: `remove network ${wish.name}`,
    mayBecome: () => ledger.networksMayBecome(withoutNetwork(world, wish.name)),
    send: (client) => client.call("network.remove", { params: { name: wish.name }, query: {} }),
    done: () => ledger.networksAre(withoutNetwork(world, wish.name)),
    refused: () => ledger.networksStay(),
    mayRefuse: ["in-use"],
  };
}

function changeNetwork(dice: Dice, ledger: Ledger): Deed | undefined {
  const wish = dice.one(ledger.networks.filter((n) => n.name !== steadyNetwork));
  if (wish === undefined) return undefined;
  const world = worldOf(ledger);
  const peers = dice.some(
    [...world.keys()].filter((n) => n !== wish.name),
    3,
  );
  const change =
    dice.one([
      { nat: !wish.nat },
      { isolation: wish.isolation === "none" ? ("guests" as const) : ("none" as const) },
      { internal: !wish.internal },
      { peers },
      { peers, nat: dice.chance(0.5) },
    ]) ?? {};
  const after = { ...wish, ...change };
  const next = "peers" in change ? withNetwork(world, after) : new Map([...world, [wish.name, after]]);
  return {
    say: `change network ${wish.name} ${JSON.stringify(change)}`,
    mayBecome: () => ledger.networksMayBecome(next),
    send: (client) => client.call("network.change", { params: { name: wish.name }, body: change }),
    done: () => ledger.networksAre(next),
    refused: () => ledger.networksStay(),
    mayRefuse: ["in-use"],
  };
}

function createAttachment(dice: Dice, ledger: Ledger, limits: Limits): Deed {
  const name = `${limits.prefix}a${dice.below(limits.guests * 2)}`;
  const wish: GuestWish = { name, kind: "netns", networks: networksFor(dice, ledger), publish: publishes(dice), wanted: "running" };
  const body = { name: name as Name, networks: wish.networks.map((network) => ({ network: network as Name })), publish: wish.publish };
  return createGuest(ledger, wish, (client) => client.call("attachment.create", { body }));
}

function createNode(dice: Dice, ledger: Ledger, limits: Limits): Deed {
  const name = `${limits.prefix}c${dice.below(limits.containers * 2)}`;
  const restart = dice.one<RestartPolicy>(["no", "on-failure", "always", "unless-stopped"]) ?? "no";
  const wish: GuestWish = {
    name,
    kind: "container",
    networks: networksFor(dice, ledger),
    publish: publishes(dice),
    restart,
    wanted: "running",
  };
  const body = {
    name: name as Name,
    command: ["sleep", "100000"],
    mem: 32,
    restart,
    networks: wish.networks.map((network) => ({ network: network as Name })),
    publish: wish.publish,
  };
  return createGuest(ledger, wish, (client) => client.call("node.create", { query: {}, body }));
}

function createGuest(ledger: Ledger, wish: GuestWish, send: Deed["send"]): Deed {
  const { name } = wish;
  const before = ledger.guest(name);
  return {
    say: `create ${wish.kind} ${name} on ${wish.networks.join(", ")}`,
    mayBecome: () => before ?? ledger.guestMayBecome(name, wish),
    send,
    done: (answer) => {
      const view = answer as GuestView;
      ledger.guestIs(name, { ...wish, addresses: addressesOf(view), ...(view.pid === undefined ? {} : { pid: view.pid }) });
    },
    refused: () => ledger.guestStays(name),
    // A network may go, or become internal, while the request is under way.
    mayRefuse: ["port-taken", "not-found", "spec-invalid", ...(before === undefined ? [] : (["name-taken"] as const))],
  };
}

function removeGuest(wish: GuestWish | undefined, ledger: Ledger): Deed | undefined {
  if (wish === undefined) return undefined;
  const params = { name: wish.name as Name };
  const { pid: _, ...without } = wish;
  return {
    say: `remove ${wish.kind} ${wish.name}`,
    mayBecome: () => {
      ledger.guestIs(wish.name, without);
      ledger.guestMayBecome(wish.name, undefined);
    },
    send: (client) =>
      wish.kind === "netns" ? client.call("attachment.remove", { params }) : client.call("node.remove", { params, query: { force: true } }),
    done: () => ledger.guestIs(wish.name, undefined),
    refused: () => ledger.guestIs(wish.name, wish),
    mayRefuse: [],
  };
}

function stopNode(wish: GuestWish | undefined, ledger: Ledger): Deed | undefined {
  if (wish === undefined) return undefined;
  const { pid: _, ...without } = wish;
  return {
    say: `stop node ${wish.name}`,
    mayBecome: () => {
      ledger.guestIs(wish.name, without);
      ledger.guestMayBecome(wish.name, { ...without, wanted: "stopped" });
    },
    send: (client) => client.call("node.stop", { params: { name: wish.name }, query: { grace: 0 } }),
    done: () => ledger.guestIs(wish.name, { ...without, wanted: "stopped" }),
    refused: () => ledger.guestIs(wish.name, wish),
    mayRefuse: [],
  };
}

function startNode(wish: GuestWish | undefined, ledger: Ledger): Deed | undefined {
  if (wish === undefined) return undefined;
  return {
    say: `start node ${wish.name}`,
    mayBecome: () => ledger.guestMayBecome(wish.name, { ...wish, wanted: "running" }),
    send: (client) => client.call("node.start", { params: { name: wish.name } }),
    done: (answer) => {
      const { pid } = answer as GuestView;
      // Of one that was wanted already it is not known what it went through.
      ledger.guestIs(wish.name, { ...wish, wanted: "running", ...(pid === undefined || wish.wanted === "running" ? {} : { pid }) });
    },
    refused: () => ledger.guestStays(wish.name),
    mayRefuse: [],
  };
}

/** Whether the error says that nobody answered: then nothing is known of the outcome. */
export function isUnanswered(error: unknown): boolean {
  return !(error instanceof NexusError) || error.code === "daemon-unreachable";
}

function worldOf(ledger: Ledger): ReadonlyMap<string, NetworkWish> {
  return new Map(ledger.networks.map((n) => [n.name, n]));
}

/** The first leads out, so that ports can be published. */
function networksFor(dice: Dice, ledger: Ledger): string[] {
  const open = ledger.networks.filter((n) => !n.internal).map((n) => n.name);
  const first = dice.one(open) ?? steadyNetwork;
  return [
    first,
    ...dice.some(
      ledger.networks.map((n) => n.name).filter((n) => n !== first),
      2,
    ),
  ];
}

function publishes(dice: Dice): PublishSpec[] {
  const out: PublishSpec[] = [];
  for (let n = dice.below(4); n > 0; n--) {
    const hostPort = (20000 + dice.below(2000) * 4) as Port;
    const guestPort = (dice.chance(0.4) ? hostPort : 80 + n * 10) as Port;
    out.push({
      protocol: dice.chance(0.5) ? "tcp" : "udp",
      hostPort,
      guestPort,
      ...(dice.chance(0.4) ? { hostPortEnd: (hostPort + 3) as Port } : {}),
      ...(dice.chance(0.3) ? { hostAddress: "127.0.0.1" as Ip } : {}),
    });
  }
  return out;
}
