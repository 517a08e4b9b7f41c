import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import type { z } from "zod";
import type { attachmentSpec } from "../../../src/spec/node.ts";
import type { NetworkSpecInput } from "../../../src/spec/network.ts";
import type { GuestView, NetworkView } from "../../../src/spec/views.ts";
import { Nexusd } from "./nexusd.ts";
import { Place } from "./place.ts";

/** Addresses of the world around the guests: documentation ranges (RFC 5737, RFC 3849). */
export const host = { 4: "198.51.100.1", 6: "2001:db8:51::1" } as const;
export const outside = { 4: "198.51.100.2", 6: "2001:db8:51::2" } as const;
/** A bridge and a routed link of somebody else. */
export const foreign = { bridged1: "192.0.2.11", bridged2: "192.0.2.12", routed: "203.0.113.2" } as const;
export const uplinkMtu = 1400;

export const networks: NetworkSpecInput[] = [
  { name: "lan", subnets: [{ prefix: "10.10.1.0/24" }], ipv6: true },
  { name: "back", subnets: [{ prefix: "10.10.2.0/24" }], ipv6: true },
  { name: "dmz", subnets: [{ prefix: "10.10.3.0/24" }], ipv6: true, peers: ["lan"] },
  { name: "vault", subnets: [{ prefix: "10.10.4.0/24" }], ipv6: true, internal: true },
  { name: "hotel", subnets: [{ prefix: "10.10.5.0/24" }], ipv6: true, isolation: "guests" },
  { name: "routed", subnets: [{ prefix: "10.10.6.0/24" }, { prefix: "2001:db8:6::/64" }], nat: false },
  { name: "old", subnets: [{ prefix: "10.10.7.0/24" }] },
];

type AttachmentInput = z.input<typeof attachmentSpec>;
type Publishes = NonNullable<AttachmentInput["publish"]>;

/** Ports that mean the same in both families. */
export const published = {
  any: 8080,
  anyUdp: 8081,
  loopback: 8082,
  loopbackUdp: 8083,
  one: 8084,
  oneUdp: 8085,
  range: 9000,
  shifted: 9100,
  rangeUdp: 9300,
  shiftedUdp: 9400,
  oneRange: 9600,
  room: 8090,
  edge: 8091,
  db: 8092,
} as const;

const webPublishes: Publishes = [
  { hostPort: published.any, guestPort: 80 },
  { protocol: "udp", hostPort: published.anyUdp, guestPort: 81 },
  ...["127.0.0.1", "::1"].flatMap((hostAddress): Publishes => [
    { hostAddress, hostPort: published.loopback, guestPort: 80 },
    { hostAddress, protocol: "udp", hostPort: published.loopbackUdp, guestPort: 81 },
  ]),
  ...[host[4], host[6]].flatMap((hostAddress): Publishes => [
    { hostAddress, hostPort: published.one, guestPort: 80 },
    { hostAddress, protocol: "udp", hostPort: published.oneUdp, guestPort: 81 },
    { hostAddress, hostPort: published.oneRange, hostPortEnd: published.oneRange + 2, guestPort: published.oneRange },
  ]),
  { hostPort: published.range, hostPortEnd: published.range + 2, guestPort: published.range },
  { hostPort: published.shifted, hostPortEnd: published.shifted + 2, guestPort: 9200 },
  { protocol: "udp", hostPort: published.rangeUdp, hostPortEnd: published.rangeUdp + 2, guestPort: published.rangeUdp },
  { protocol: "udp", hostPort: published.shiftedUdp, hostPortEnd: published.shiftedUdp + 2, guestPort: 9500 },
];

export const guests: AttachmentInput[] = [
  { name: "web", networks: [{ network: "lan" }], publish: webPublishes },
  { name: "app", networks: [{ network: "lan" }] },
  { name: "db", networks: [{ network: "back" }], publish: [{ hostPort: published.db, guestPort: 80 }] },
  { name: "mail", networks: [{ network: "dmz" }] },
  { name: "safe1", networks: [{ network: "vault" }] },
  { name: "safe2", networks: [{ network: "vault" }] },
  { name: "room1", networks: [{ network: "hotel" }] },
  { name: "room2", networks: [{ network: "hotel" }], publish: [{ hostPort: published.room, guestPort: 80 }] },
  { name: "edge", networks: [{ network: "routed" }], publish: [{ hostPort: published.edge, guestPort: 80 }] },
  { name: "old1", networks: [{ network: "old" }] },
  { name: "old2", networks: [{ network: "old" }] },
];

/** Ports on which every place listens, by the guests' side of the publishes. */
const listening = { tcp: [80, 9000, 9001, 9002, 9200, 9201, 9202, 9600, 9601, 9602], udp: [81, 9300, 9301, 9302, 9500, 9501, 9502] };
export const hostPorts = { tcp: 7000, udp: 7001 } as const;

/** The daemon with all its guests, and around it what the guests may and may not reach. */
export class World implements AsyncDisposable {
  readonly daemon: Nexusd;
  readonly places: ReadonlyMap<string, Place>;
  readonly guests: ReadonlyMap<string, GuestView>;
  readonly networks: ReadonlyMap<string, NetworkView>;
  readonly #stack: AsyncDisposableStack;

  /** Makes the surroundings. What is given runs before there is a daemon. */
  static async make(before: (places: ReadonlyMap<string, Place>) => Promise<void> = async () => {}): Promise<World> {
    await using stack = new AsyncDisposableStack();
    surroundings();
    const places = new Map<string, Place>();
    const add = (label: string, netns?: string) => places.set(label, stack.use(new Place(label, netns)));
    add("host");
    for (const name of ["outside", "foreign1", "foreign2", "foreign3"]) add(name, `/run/netns/${name}`);
    await Promise.all([
      place(places, "outside").listen(listening),
      place(places, "host").listen({ tcp: [hostPorts.tcp], udp: [hostPorts.udp] }),
      ...["foreign1", "foreign2", "foreign3"].map((name) => place(places, name).listen({ tcp: [80] })),
    ]);
    await before(places);
    const daemon = stack.use(await Nexusd.start());
    const views = new Map<string, NetworkView>();
    for (const body of networks) views.set(body.name, await daemon.client.call("network.create", { body }));
    const made = new Map<string, GuestView>();
    for (const body of guests) {
      const view = await daemon.client.call("attachment.create", { body });
      made.set(view.name, view);
      add(view.name, view.netns);
    }
    await Promise.all(guests.map(({ name }) => place(places, name).listen(listening)));
    const world = new World({ daemon, places, guests: made, networks: views, stack: stack.move() });
    world.#wayBack();
    return world;
  }

  private constructor(parts: Pick<World, "daemon" | "places" | "guests" | "networks"> & { stack: AsyncDisposableStack }) {
    this.daemon = parts.daemon;
    this.places = parts.places;
    this.guests = parts.guests;
    this.networks = parts.networks;
    this.#stack = parts.stack;
  }

  place(label: string): Place {
    return place(this.places, label);
  }

  guest(name: string): GuestView {
    return this.guests.get(name) ?? fail(`no guest ${name}`);
  }

  network(name: string): NetworkView {
    return this.networks.get(name) ?? fail(`no network ${name}`);
  }

  /** A guest's address without its length. */
  address(guest: string, family: 4 | 6): string {
    const cidr = this.guest(guest).attachments[0]?.addresses.find((a) => a.includes(":") === (family === 6));
    return cidr?.split("/")[0] ?? fail(`${guest} has no IPv${family} address`);
  }

  gateway(network: string, family: 4 | 6): string {
    return (
      this.network(network).subnets.find((s) => s.gateway.includes(":") === (family === 6))?.gateway ??
      fail(`${network} has no IPv${family} gateway`)
    );
  }

  hostInterface(guest: string): string {
    return this.guest(guest).attachments[0]?.hostInterface ?? fail(`${guest} has no interface`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** The outside knows a way to every guest, so that only rules keep it out; some guests make themselves routes they were not given. */
  #wayBack(): void {
    const routes = [...this.networks.values()].flatMap((n) =>
      n.subnets.map((s) => `route add ${s.prefix} via ${s.prefix.includes(":") ? host[6] : host[4]}`),
    );
    ip(routes, "outside");
    for (const family of [4, 6] as const) {
      ip([`route add default via ${this.gateway("vault", family)}`], "nexus-safe2");
      ip([`route add ${this.address("room2", family)} via ${this.gateway("hotel", family)}`], "nexus-room1");
    }
  }
}

/** br_netfilter shows bridged frames to the routed rules, or not. */
export function setBridgeNetfilter(value: 0 | 1): void {
  for (const name of ["iptables", "ip6tables", "arptables"]) writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${name}`, String(value));
}

export function ip(lines: readonly string[], netns?: string): void {
  execFileSync("ip", [...(netns === undefined ? [] : ["-n", netns]), "-batch", "-"], {
    input: lines.join("\n"),
    stdio: ["pipe", "pipe", "pipe"],
  });
}

export function shownByIp(command: string): Record<string, unknown>[] {
  const out = execFileSync("ip", command.split(" "), { encoding: "utf8" });
  return out.trim() === "" ? [] : (JSON.parse(out) as Record<string, unknown>[]);
}

function surroundings(): void {
  for (const name of ["outside", "foreign1", "foreign2", "foreign3"]) execFileSync("ip", ["netns", "add", name]);
  ip([
    "link set lo up",
    `link add uplink mtu ${uplinkMtu} type veth peer name eth0 netns outside`,
    `address add ${host[4]}/24 dev uplink`,
    `address add ${host[6]}/64 dev uplink nodad`,
    "link set uplink up",
    `route add default via ${outside[4]}`,
    "link add br-foreign address 02:00:00:00:0f:01 type bridge",
    "address add 192.0.2.1/24 dev br-foreign",
    "link set br-foreign up",
    "link add foreign1 master br-foreign up type veth peer name eth0 netns foreign1",
    "link add foreign2 master br-foreign up type veth peer name eth0 netns foreign2",
    "link add foreign3 type veth peer name eth0 netns foreign3",
    "address add 203.0.113.1/24 dev foreign3",
    "link set foreign3 up",
    `route add default via ${outside[6]}`,
  ]);
  const inside = (netns: string, addresses: string[], gateway?: string) =>
    ip(
      [
        "link set lo up",
        "link set eth0 up",
        ...addresses.map((a) => `address add ${a} dev eth0${a.includes(":") ? " nodad" : ""}`),
        ...(gateway === undefined ? [] : [`route add default via ${gateway}`]),
      ],
      netns,
    );
  inside("outside", [`${outside[4]}/24`, `${outside[6]}/64`]);
  ip([`link set eth0 mtu ${uplinkMtu}`], "outside");
  inside("foreign1", [`${foreign.bridged1}/24`], "192.0.2.1");
  inside("foreign2", [`${foreign.bridged2}/24`], "192.0.2.1");
  inside("foreign3", [`${foreign.routed}/24`], "203.0.113.1");
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  // A guest is refused once a second by ICMP, after a burst of six; here it asks a hundred things at once.
  for (const limit of ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"]) writeFileSync(`/proc/sys/net/${limit}`, "0");
  // And all guests together fifty at once; older kernels count for the whole machine, which is not ours to change.
  for (const limit of ["icmp_msgs_per_sec", "icmp_msgs_burst"]) {
    const file = `/proc/sys/net/ipv4/${limit}`;
    if (existsSync(file)) writeFileSync(file, "100000");
  }
}

function place(places: ReadonlyMap<string, Place>, label: string): Place {
  return places.get(label) ?? fail(`no place ${label}`);
}

function fail(message: string): never {
  throw new Error(message);
}
