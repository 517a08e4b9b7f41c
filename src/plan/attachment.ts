import { ipFamily } from "../base/ip.ts";
import { flipFirstOctet } from "../base/mac.ts";
import { guestInterface } from "../base/names.ts";
import { type Cidr, makeCidr, makePrefix, prefixContains, prefixFamily, prefixLength } from "../base/prefix.ts";
import { altName } from "./naming.ts";
import { groupOf } from "./group.ts";
import { changeLink, mtuOf, nameLink, unname } from "./network.ts";
import type { Observed, ObservedGuestSide, ObservedLink } from "./observed.ts";
import type { AttachmentEnd, AttachmentRecord, NetworkRecord } from "./records.ts";
import { hasIpv6 } from "./sysctls.ts";
import type { GuestRoute, GuestSideStep, Step } from "./steps.ts";

export type AttachmentInput = {
  /** Networks that may talk to this one. */
  peers: readonly NetworkRecord[];

  attachment: AttachmentRecord;
  network: NetworkRecord;
  /** Carries the guest's default routes. */ primary: boolean;
};

/** Steps that make one attachment what it should be; none when it is. The firewall's part is planned for the whole ruleset. */
export function planAttachment(input: AttachmentInput, observed: Observed): Step[] {
  const { end } = input.attachment;
  return end.kind === "tap" ? planTap(input, end, observed) : planVeth(input, end, observed);
}

function planVeth(input: AttachmentInput, { netns }: NamespaceEnd, observed: Observed): Step[] {
  const { attachment, network } = input;
  const steps: Step[] = [];
  if (!observed.namespaces.has(netns)) steps.push(createNamespace(netns, observed));
  const link = observed.links.get(attachment.hostInterface);
  const side = observed.guestSides.get(attachment.hostInterface);
  const wanted = guestSide(input, netns, observed);
  if (link === undefined || side === "gone") {
    // A host end without its peer in the right namespace is of no use: make the pair anew.
    if (link !== undefined)
      steps.push({
        kind: "delete-link",
        name: link.name,
        why: "its other end is not in the guest",
      });
    else steps.push(...unname(altName(attachment), observed));
    steps.push(
      { kind: "create-veth", ...hostSide(input, observed), guestMac: attachment.mac, guestName: guestInterface(attachment.nic), netns },
      wanted,
    );
    return steps;
  }
  steps.push(...mendHostSide({ attachment, network }, link, observed));
  const lasting = [...wanted.routes, ...wanted.gateways.map((via) => ({ destination: makePrefix(via, 0), via }))];
  const staleRoutes = (side?.routes ?? []).filter((route) => !hasRoute(lasting, route));
  if (side !== undefined && !(staleRoutes.length === 0 && sideMatches(side, wanted))) steps.push({ ...wanted, staleRoutes });
  return steps;
}

/** One that is not there is made, for a guest that is about to start or with the queues of one that runs. */
function planTap(input: AttachmentInput, { queues }: TapEnd, observed: Observed): Step[] {
  const link = observed.links.get(input.attachment.hostInterface);
  if (link !== undefined) return mendHostSide(input, link, observed);
  const holder = observed.tapHolders.get(input.attachment.hostInterface);
  const held = holder === undefined ? {} : { holder };
  return [...unname(altName(input.attachment), observed), { kind: "create-tap", ...hostSide(input, observed), queues, ...held }];
}

/** What may have been changed on the link while it was there. */
function mendHostSide({ attachment, network }: Pick<AttachmentInput, "attachment" | "network">, link: ObservedLink, observed: Observed) {
  const steps: Step[] = changeLink(link, {
    mtuBytes: mtuOf(network, observed),
    mac: hostMac(attachment),
    group: groupOf(network.index),
    up: true,
    master: network.bridge,
  });
  steps.push(...nameLink(link, altName(attachment)));
  const isolated = network.spec.isolation === "guests";
  // A link that joins a bridge is a port without flags, whatever it was elsewhere.
  const port = link.master === network.bridge ? link.port : undefined;
  if (port === undefined || port.isolated !== isolated || !port.hairpin || !port.judged)
    steps.push({ kind: "set-port", link: link.name, isolated, hairpin: true });
  return steps;
}

type NamespaceEnd = Extract<AttachmentEnd, { kind: "namespace" }>;
type TapEnd = Extract<AttachmentEnd, { kind: "tap" }>;

export function attachmentCidrs(attachment: AttachmentRecord, network: NetworkRecord): Cidr[] {
  return attachment.addresses.flatMap((address) => {
    const subnet = network.subnets.find((s) => prefixContains(s.prefix, address));
    return subnet === undefined ? [] : [makeCidr(address, prefixLength(subnet.prefix))];
  });
}

export function attachmentGateways({ attachment, network, primary }: Omit<AttachmentInput, "peers">): GuestSideStep["gateways"] {
  if (!primary || network.spec.internal) return [];
  const gateways = attachment.addresses.flatMap((address) =>
    network.subnets.filter((s) => prefixContains(s.prefix, address)).map((s) => s.gateway),
  );
  return ([4, 6] as const).flatMap((family) => gateways.filter((g) => ipFamily(g) === family).slice(0, 1));
}

/** Where the default route leads another way, or nowhere, peers are reached by routes of their own. */
export function peerRoutes(input: AttachmentInput): GuestRoute[] {
  const { network, peers } = input;
  if (attachmentGateways(input).length > 0) return [];
  return peers.flatMap((peer) =>
    peer.subnets.flatMap(({ prefix }) => {
      const own = network.subnets.find((s) => prefixFamily(s.prefix) === prefixFamily(prefix));
      return own === undefined ? [] : [{ destination: prefix, via: own.gateway }];
    }),
  );
}

function hasRoute(routes: readonly GuestRoute[], wanted: GuestRoute): boolean {
  return routes.some((route) => route.destination === wanted.destination && route.via === wanted.via);
}

/** The host end's own MAC: the guest's with the first octet's unused bit flipped, so the two never collide. */
export function hostMac(attachment: Pick<AttachmentRecord, "mac">): AttachmentRecord["mac"] {
  return flipFirstOctet(attachment.mac, 0x04);
}

function createNamespace(name: string, observed: Observed): Step {
  const ofPid = observed.residents.get(name);
  return { kind: "create-namespace", name, ...(ofPid === undefined ? {} : { ofPid }) };
}

function hostSide({ attachment, network }: AttachmentInput, observed: Observed) {
  return {
    name: attachment.hostInterface,
    mac: hostMac(attachment),
    master: network.bridge,
    mtuBytes: mtuOf(network, observed),
    group: groupOf(network.index),
    altName: altName(attachment),
    isolated: network.spec.isolation === "guests",
  };
}

function guestSide(input: AttachmentInput, netns: string, observed: Observed): GuestSideStep {
  const { attachment, network } = input;
  return {
    kind: "configure-guest",
    netns,
    link: guestInterface(attachment.nic),
    mac: attachment.mac,
    mtuBytes: mtuOf(network, observed),
    addresses: attachmentCidrs(attachment, network),
    gateways: attachmentGateways(input),
    routes: peerRoutes(input),
    staleRoutes: [],
    ipv6: hasIpv6(network),
  };
}

function sideMatches(side: ObservedGuestSide, wanted: GuestSideStep): boolean {
  return (
    side.up &&
    side.loopbackUp &&
    side.mac === wanted.mac &&
    side.mtuBytes === wanted.mtuBytes &&
    wanted.addresses.every((a) => side.addresses.includes(a)) &&
    wanted.gateways.every((g) => side.gateways.includes(g)) &&
    wanted.routes.every((route) => hasRoute(side.routes, route))
  );
}
