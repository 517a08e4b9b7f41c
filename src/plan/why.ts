import { type Ip, ipFamily, isUnspecified, parseIp } from "../base/ip.ts";
import { prefixContains } from "../base/prefix.ts";
import type { Transport } from "../base/port.ts";
import type { WhyView } from "../spec/views.ts";
import { peersOf } from "./firewall/elements.ts";
import { attachmentGateways, peerRoutes } from "./attachment.ts";
import type { GuestRoute } from "./steps.ts";
import { isPrimary, type Desired } from "./plan.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "./records.ts";
import { isRestricted, whyAddress, whyHost, whyName } from "./why-egress.ts";

export type WhyQuestion = {
  /** A guest's name, `host`, or `outside`. */
  from: string;
  /** A guest's name, `host`, an address, or with `beyond` a name of the rest of the world. */
  to: string;
  beyond?: boolean;
  /** Absent for protocols without ports. */
  port: number | undefined;
  protocol: Transport | "icmp";
  /** Addresses of the host itself, gateways included. */
  hostAddresses: readonly Ip[];
  /** Base chains of other programs that may drop what we accept, in words. */
  foreignDrops: readonly string[];
};

type Path = WhyView["path"];

/** Says whether a connection passes, and which rule or missing route decides; the same policy the ruleset holds, in words. */
export function why(question: WhyQuestion, desired: Desired): WhyView {
  const world = new World(desired);
  if (question.from === "outside") return fromOutside(question, world);
  if (question.from === "host") return fromHost(question, world);
  return fromGuest(question, world);
}

class World {
  readonly desired: Desired;
  constructor(desired: Desired) {
    this.desired = desired;
  }
  attachmentsOf(guest: string): AttachmentRecord[] {
    return this.desired.attachments.filter((a) => a.guest === guest);
  }
  network(attachment: AttachmentRecord): NetworkRecord | undefined {
    return this.desired.networks.find((n) => n.name === attachment.network);
  }
  networkHolding(address: Ip): NetworkRecord | undefined {
    return this.desired.networks.find((n) => n.subnets.some((s) => prefixContains(s.prefix, address)));
  }
  guestHolding(address: Ip): string | undefined {
    return this.desired.attachments.find((a) => a.addresses.includes(address))?.guest;
  }
  /** A publish that a packet to this address of the host meets; any address when none is named. */
  published(q: WhyQuestion, address: Ip | undefined): PublishRecord | undefined {
    const { port } = q;
    if (port === undefined) return undefined;
    const met = this.desired.publishes.filter(
      (p) => p.protocol === q.protocol && port >= p.hostPort && port <= (p.hostPortEnd ?? p.hostPort) && leadsFrom(p, address),
    );
    return met.find((p) => !isLoopback(p.hostAddress)) ?? met[0];
  }
  /** The NIC by which a guest sends to an address: that of its network, else that of its default route. */
  nicTowards(address: Ip, nics: readonly AttachmentRecord[]): AttachmentRecord | undefined {
    const connected = nics.find((nic) => this.network(nic)?.subnets.some((s) => prefixContains(s.prefix, address)) === true);
    const routed = nics.find((nic) => this.routesOf(nic).some((route) => prefixContains(route.destination, address)));
    return connected ?? routed ?? nics.find((nic) => this.gatewayOf(nic, address) !== undefined);
  }
  /** The routes to peers that a NIC without a default route has. */
  routesOf(attachment: AttachmentRecord): GuestRoute[] {
    const network = this.network(attachment);
    if (network === undefined) return [];
    return peerRoutes({
      attachment,
      network,
      primary: isPrimary(attachment, this.desired),
      peers: peersOf(network, this.desired.networks),
    });
  }
  /** The default gateway of that NIC for packets to an address. */
  gatewayOf(attachment: AttachmentRecord, address: Ip): Ip | undefined {
    const network = this.network(attachment);
    if (network === undefined) return undefined;
    return attachmentGateways({ attachment, network, primary: isPrimary(attachment, this.desired) }).find(
      (g) => ipFamily(g) === ipFamily(address),
    );
  }
  peered(a: NetworkRecord, b: NetworkRecord): boolean {
    return peersOf(a, this.desired.networks).includes(b);
  }
}

function fromGuest(q: WhyQuestion, world: World): WhyView {
  const nics = world.attachmentsOf(q.from);
  const path: Path = [];
  if (nics.length === 0) return deny(path, `guest ${q.from} has no attachment: it is not running or does not exist`, "no attachment");
  path.push({ step: `guest ${q.from}`, result: nics.map((a) => `${a.addresses.join(", ")} on ${a.network}`).join("; ") });
  if (q.beyond === true) return guestToName(q, world, { nics, path });
  const address = targetAddress(q, world, nics);
  if (address === undefined) return deny(path, `${q.to} is no running guest and no address`, "no address");
  if (isLoopback(address)) return deny(path, `${address} is the guest's own loopback: such a packet does not leave it`, "loopback address");
  path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
  const nic = world.nicTowards(address, nics);
  const source = nic && world.network(nic);
  if (nic === undefined || source === undefined) return noRoute(world, { nics, path, address });
  const at = { nic, source, path, address };
  if (q.hostAddresses.includes(address)) return guestToHost(q, world, at);
  const target = world.networkHolding(address);
  return target === undefined ? guestToOutside(q, world, at) : guestToGuest(world, { ...at, target });
}

/** By the NIC that has a default route, of whatever family the name's addresses will be. */
function guestToName(q: WhyQuestion, world: World, { nics, path }: { nics: AttachmentRecord[]; path: Path }): WhyView {
  const unspecified = ["0.0.0.0", "::"].map((text) => parseIp(text) as Ip);
  const nic = nics.find((one) => unspecified.some((address) => world.gatewayOf(one, address) !== undefined));
  const source = nic && world.network(nic);
  if (nic === undefined || source === undefined) return deny(path, "it has no default route", `no route to ${q.to}`);
  path.push({ step: "route", result: `by the gateway of ${source.name}` });
  addForeign(q, path);
  return { ...whyName({ nic, source, pins: world.desired.pins }, q.to, q), path };
}

type Sending = { nic: AttachmentRecord; source: NetworkRecord; path: Path; address: Ip };

function noRoute(world: World, { nics, path, address }: { nics: AttachmentRecord[]; path: Path; address: Ip }): WhyView {
  const internal = nics.every((a) => world.network(a)?.spec.internal === true);
  return deny(
    path,
    internal ? "all its networks are internal, so it has no default route" : `it has no IPv${ipFamily(address)} default route`,
    `no route to ${address}`,
  );
}

function guestToGuest(world: World, { nic, source, path, address, target }: Sending & { target: NetworkRecord }): WhyView {
  if (source === target) {
    if (nic.addresses.includes(address)) return allow(path, "it is the guest's own address", "does not leave the guest");
    if (target.spec.isolation === "guests")
      return deny(path, `network ${target.name} isolates its guests from each other`, "bridge port isolated");
    return holder(address, world) === undefined
      ? deny(path, `no running guest holds ${address}`, "no answer on the bridge")
      : allow(path, `both are on network ${target.name}`, "bridged");
  }
  path.push({ step: "route", result: `by the gateway of ${source.name}` });
  if (world.peered(source, target)) {
    return holder(address, world) === undefined
      ? deny(path, `no running guest holds ${address}`, "no answer on the bridge")
      : allow(path, `networks ${source.name} and ${target.name} are peers`, "inet nexus forward peers");
  }
  if (target.spec.internal) return deny(path, `network ${target.name} is internal`, "inet nexus forward to-internal");
  return deny(
    path,
    `networks ${source.name} and ${target.name} are isolated; to allow it: nexus network set ${source.name} --peer ${target.name}`,
    "inet nexus forward isolation",
  );
}

function guestToOutside(q: WhyQuestion, world: World, { nic, source, path, address }: Sending): WhyView {
  path.push({ step: "route", result: `default via ${world.gatewayOf(nic, address)} on ${source.name}` });
  addForeign(q, path);
  const policy = whyAddress({ nic, source, pins: world.desired.pins }, address, q);
  if (policy !== undefined) return { ...policy, path };
  if (source.spec.nat) return allow(path, "leaves as the host's address", `inet nexus masquerade${ipFamily(address)}`);
  return allow(
    path,
    `routed without translation; ${address} needs a route back to ${source.subnets[0]?.prefix}`,
    "inet nexus forward (policy accept)",
  );
}

function guestToHost(q: WhyQuestion, world: World, { nic, source, path, address }: Sending): WhyView {
  const outlet = { nic, source, pins: world.desired.pins };
  const publish = world.published(q, address);
  if (publish !== undefined) {
    const target = publish.targets.map((t) => world.networkHolding(t)).find((n) => n !== undefined);
    path.push({ step: "publish", result: `${q.protocol} port ${q.port} leads to guest ${publish.guest}, ${publish.targets.join(", ")}` });
    if (source.spec.internal) return deny(path, "its network is internal", "inet nexus forward from-internal");
    if (target === source && source.spec.isolation === "guests")
      return deny(path, `network ${source.name} isolates its guests from each other, published ports included`, "inet nexus forward apart");
    const among = target !== undefined && (target === source || world.peered(target, source));
    if (!among && isRestricted(outlet))
      return deny(
        path,
        `guest ${publish.guest} is on another network, where egress policies let nobody`,
        "inet nexus egress refused-published",
      );
    return allow(path, "published ports are open to guests", "inet nexus forward published");
  }
  const owner = world.desired.networks.find((n) => n.subnets.some((s) => s.gateway === address));
  const gateway = owner !== undefined && (owner === source || world.peered(owner, source));
  const policy = whyHost(outlet, { ...q, gateway });
  if (policy !== undefined) return { ...policy, path };
  if (owner !== undefined) {
    if (gateway) return allow(path, "it is a gateway the guest may use", `inet nexus input own-gateway-${ipFamily(address)}`);
    return deny(path, `${address} is the gateway of network ${owner.name}`, `inet nexus input other-gateway-${ipFamily(address)}`);
  }
  if (source.spec.internal) return deny(path, "an internal network reaches only its own gateway", "inet nexus input internal");
  return allow(path, "nexus does not filter guests' access to the host", "inet nexus input (policy accept)");
}

function fromOutside(q: WhyQuestion, world: World): WhyView {
  const path: Path = [{ step: "outside", result: "a machine beyond the host's interfaces" }];
  const address = parseIp(q.to) ?? (q.to === "host" ? undefined : world.attachmentsOf(q.to)[0]?.addresses[0]);
  const target = address === undefined ? undefined : world.networkHolding(address);
  if (target !== undefined && address !== undefined) {
    path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
    if (target.spec.nat || target.spec.internal)
      return deny(
        path,
        `addresses of network ${target.name} are not reachable from outside; publish a port instead`,
        `inet nexus guard direct-access-${ipFamily(address)}`,
      );
    addForeign(q, path);
    return allow(path, `network ${target.name} is routed (nat off)`, "inet nexus forward (policy accept)");
  }
  return toPublished(q, world, { path, address, local: false });
}

function fromHost(q: WhyQuestion, world: World): WhyView {
  const path: Path = [{ step: "host", result: "a process of this machine" }];
  const address = parseIp(q.to) ?? (q.to === "host" ? undefined : world.attachmentsOf(q.to)[0]?.addresses[0]);
  if (address === undefined && q.to !== "host") return deny(path, `${q.to} is no running guest and no address`, "no address");
  if (address === undefined || q.hostAddresses.includes(address) || address.startsWith("127."))
    return toPublished(q, world, { path, address, local: true });
  const target = world.networkHolding(address);
  path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
  if (target === undefined) return allow(path, "not an address of ours; nexus does not filter the host", "no rule of ours");
  if (holder(address, world) === undefined) return deny(path, `no running guest holds ${address}`, "no answer on the bridge");
  return allow(path, `the host is the gateway of network ${target.name}`, `route ${target.subnets[0]?.prefix} dev ${target.bridge}`);
}

function toPublished(q: WhyQuestion, world: World, at: { path: Path; address: Ip | undefined; local: boolean }): WhyView {
  const publish = world.published(q, at.address);
  if (publish === undefined)
    return deny(
      at.path,
      q.port === undefined
        ? "it is the host itself that answers"
        : `${q.protocol} port ${q.port} is not published; a process of the host may still answer`,
      "no element in inet nexus publish",
    );
  at.path.push({
    step: "publish",
    result: `to guest ${publish.guest}, ${publish.targets.join(", ")} port ${publish.guestPort + (q.port ?? 0) - publish.hostPort}`,
  });
  if (isLoopback(publish.hostAddress) && !at.local)
    return deny(at.path, `published on ${publish.hostAddress} only, which is not reachable from outside`, "loopback address");
  if (!at.local) addForeign(q, at.path);
  if (publish.hostAddress === "::1") return allow(at.path, "the port is published", "nexusd carries ::1 itself");
  return allow(at.path, "the port is published", `inet nexus publish (${publish.protocol} ${publish.hostPort})`);
}

/** ::1 cannot be translated, so only what is published there by name is carried from it, and to either family. */
function leadsFrom(publish: PublishRecord, address: Ip | undefined): boolean {
  if (address === undefined) return true;
  if (address === "::1") return publish.hostAddress === address;
  const { hostAddress } = publish;
  const at =
    hostAddress !== undefined && isUnspecified(hostAddress) && ipFamily(hostAddress) === ipFamily(address) ? undefined : hostAddress;
  return (at ?? address) === address && publish.targets.some((t) => ipFamily(t) === ipFamily(address));
}

function isLoopback(address: Ip | undefined): boolean {
  return address?.startsWith("127.") === true || address === "::1";
}

/** A guest knows the host by its gateway. */
function targetAddress(q: WhyQuestion, world: World, nics: AttachmentRecord[]): Ip | undefined {
  if (q.to === "host") return nics.flatMap((nic) => world.network(nic)?.subnets ?? [])[0]?.gateway;
  const literal = parseIp(q.to);
  if (literal !== undefined) return literal;
  const theirs = world.attachmentsOf(q.to);
  const shared = theirs.find((t) => nics.some((n) => n.network === t.network));
  return (shared ?? theirs[0])?.addresses[0];
}

function holder(address: Ip, world: World): string | undefined {
  return world.guestHolding(address);
}

function describeHolder(address: Ip, world: World): string {
  const guest = world.guestHolding(address);
  const network = world.networkHolding(address);
  if (network === undefined) return "";
  return guest === undefined ? ` (network ${network.name})` : ` (guest ${guest}, network ${network.name})`;
}

function addForeign(q: WhyQuestion, path: Path): void {
  for (const drop of q.foreignDrops) path.push({ step: "another program", result: `${drop} may still drop it; see nexus doctor` });
}

function allow(path: Path, reason: string, rule: string): WhyView {
  return { verdict: "allow", reason, rule, path };
}

function deny(path: Path, reason: string, rule: string): WhyView {
  return { verdict: "deny", reason, rule, path };
}
