import { type Ip, ipFamily, parseIp } from "../base/ip.ts";
import { prefixContains } from "../base/prefix.ts";
import type { Transport } from "../base/port.ts";
import type { WhyView } from "../spec/views.ts";
import { peersOf } from "./firewall/elements.ts";
import { attachmentGateways } from "./attachment.ts";
import { isPrimary, type Desired } from "./plan.ts";
import type { AttachmentRecord, NetworkRecord, PublishRecord } from "./records.ts";

export type WhyQuestion = {
  /** A guest's name, `host`, or `outside`. */
  from: string;
  /** A guest's name, `host`, or an address. */
  to: string;
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
  published(q: WhyQuestion, address: Ip | undefined): PublishRecord | undefined {
    const { port } = q;
    if (port === undefined) return undefined;
    const matches = (p: PublishRecord) => p.protocol === q.protocol && port >= p.hostPort && port <= (p.hostPortEnd ?? p.hostPort);
    return this.desired.publishes.find((p) => matches(p) && (p.hostAddress === undefined || address === undefined || p.hostAddress === address));
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
  const address = targetAddress(q, world, nics);
  if (address === undefined) return deny(path, `${q.to} is no running guest and no address`, "no address");
  if (address === "host") return guestToHost(q, world, { nics, path, address: q.hostAddresses.find((a) => ipFamily(a) === 4) });
  path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
  if (q.hostAddresses.includes(address)) return guestToHost(q, world, { nics, path, address });
  const target = world.networkHolding(address);
  if (target === undefined) return guestToOutside(q, world, { nics, path, address });
  const sameNetwork = nics.find((a) => a.network === target.name);
  if (sameNetwork !== undefined) {
    if (target.spec.isolation === "guests") return deny(path, `network ${target.name} isolates its guests from each other`, "bridge port isolated");
    return holder(address, world) === undefined ? deny(path, `no running guest holds ${address}`, "no answer on the bridge") : allow(path, `both are on network ${target.name}`, "bridged");
  }
  const source = nics.map((a) => world.network(a)).find((n) => n !== undefined);
  const allowedBy = nics.map((a) => world.network(a)).find((n) => n !== undefined && world.peered(n, target));
  if (allowedBy !== undefined) return allow(path, `networks ${allowedBy.name} and ${target.name} are peers`, "inet nexus forward peers");
  if (source?.spec.internal === true) return deny(path, `network ${source.name} is internal`, "inet nexus forward from-internal");
  if (target.spec.internal) return deny(path, `network ${target.name} is internal`, "inet nexus forward to-internal");
  return deny(path, `networks ${source?.name} and ${target.name} are isolated; to allow it: nexus network set ${source?.name} --peer ${target.name}`, "inet nexus forward isolation");
}

function guestToOutside(q: WhyQuestion, world: World, at: { nics: AttachmentRecord[]; path: Path; address: Ip }): WhyView {
  for (const attachment of at.nics) {
    const network = world.network(attachment);
    if (network === undefined) continue;
    const gateway = attachmentGateways({ attachment, network, primary: isPrimary(attachment, world.desired) }).find((g) => ipFamily(g) === ipFamily(at.address));
    if (gateway === undefined) continue;
    at.path.push({ step: "route", result: `default via ${gateway} on ${network.name}` });
    addForeign(q, at.path);
    if (!network.spec.nat) return allow(at.path, `routed without translation; ${at.address} needs a route back to ${network.subnets[0]?.prefix}`, "inet nexus forward (policy accept)");
    return allow(at.path, `leaves as the host's address`, `inet nexus postrouting masquerade-${ipFamily(at.address)}`);
  }
  const internal = at.nics.every((a) => world.network(a)?.spec.internal === true);
  return deny(at.path, internal ? `all its networks are internal, so it has no default route` : `it has no IPv${ipFamily(at.address)} default route`, `no route to ${at.address}`);
}

function guestToHost(q: WhyQuestion, world: World, at: { nics: AttachmentRecord[]; path: Path; address: Ip | undefined }): WhyView {
  const networks = at.nics.flatMap((a) => world.network(a) ?? []);
  const publish = world.published(q, at.address);
  if (publish !== undefined) {
    const internal = networks.every((n) => n.spec.internal);
    at.path.push({ step: "publish", result: `${q.protocol} port ${q.port} leads to guest ${publish.guest}, ${publish.targets.join(", ")}` });
    if (internal) return deny(at.path, "its network is internal", "inet nexus forward from-internal");
    return allow(at.path, "published ports are open to guests", "inet nexus forward published");
  }
  const gatewayOf = world.desired.networks.find((n) => at.address !== undefined && n.subnets.some((s) => s.gateway === at.address));
  if (gatewayOf !== undefined) {
    const open = networks.find((n) => n === gatewayOf || world.peered(n, gatewayOf));
    if (open === undefined) return deny(at.path, `${at.address} is the gateway of network ${gatewayOf.name}`, `inet nexus input other-gateway-${ipFamily(gatewayOf.subnets[0]?.gateway ?? at.nics[0]!.addresses[0]!)}`);
    return allow(at.path, "it is a gateway the guest may use", "inet nexus input own-gateway");
  }
  if (networks.every((n) => n.spec.internal)) return deny(at.path, "an internal network reaches only its own gateway", "inet nexus input internal");
  return allow(at.path, "nexus does not filter guests' access to the host", "inet nexus input (policy accept)");
}

function fromOutside(q: WhyQuestion, world: World): WhyView {
  const path: Path = [{ step: "outside", result: "a machine beyond the host's interfaces" }];
  const address = parseIp(q.to) ?? (q.to === "host" ? undefined : world.attachmentsOf(q.to)[0]?.addresses[0]);
  const target = address === undefined ? undefined : world.networkHolding(address);
  if (target !== undefined && address !== undefined) {
    path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
    if (target.spec.nat || target.spec.internal) return deny(path, `addresses of network ${target.name} are not reachable from outside; publish a port instead`, `inet nexus guard direct-access-${ipFamily(address)}`);
    addForeign(q, path);
    return allow(path, `network ${target.name} is routed (nat off)`, "inet nexus forward (policy accept)");
  }
  return toPublished(q, world, { path, address, local: false });
}

function fromHost(q: WhyQuestion, world: World): WhyView {
  const path: Path = [{ step: "host", result: "a process of this machine" }];
  const address = parseIp(q.to) ?? (q.to === "host" ? undefined : world.attachmentsOf(q.to)[0]?.addresses[0]);
  if (address === undefined && q.to !== "host") return deny(path, `${q.to} is no running guest and no address`, "no address");
  if (address === undefined || q.hostAddresses.includes(address) || address.startsWith("127.")) return toPublished(q, world, { path, address, local: true });
  const target = world.networkHolding(address);
  path.push({ step: "destination", result: `${address}${describeHolder(address, world)}` });
  if (target === undefined) return allow(path, "not an address of ours; nexus does not filter the host", "no rule of ours");
  if (holder(address, world) === undefined) return deny(path, `no running guest holds ${address}`, "no answer on the bridge");
  return allow(path, `the host is the gateway of network ${target.name}`, `route ${target.subnets[0]?.prefix} dev ${target.bridge}`);
}

function toPublished(q: WhyQuestion, world: World, at: { path: Path; address: Ip | undefined; local: boolean }): WhyView {
  const publish = world.published(q, at.address);
  if (publish === undefined) return deny(at.path, q.port === undefined ? "it is the host itself that answers" : `${q.protocol} port ${q.port} is not published; a process of the host may still answer`, "no element in inet nexus publish");
  at.path.push({ step: "publish", result: `to guest ${publish.guest}, ${publish.targets.join(", ")} port ${publish.guestPort + (q.port ?? 0) - publish.hostPort}` });
  const loopback = publish.hostAddress?.startsWith("127.") === true || publish.hostAddress === "::1";
  if (loopback && !at.local) return deny(at.path, `published on ${publish.hostAddress} only, which is not reachable from outside`, "loopback address");
  if (!at.local) addForeign(q, at.path);
  return allow(at.path, "the port is published", `inet nexus publish (${publish.protocol} ${publish.hostPort})`);
}

function targetAddress(q: WhyQuestion, world: World, nics: AttachmentRecord[]): Ip | "host" | undefined {
  if (q.to === "host") return "host";
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
