import { WireError } from "../base/errors.ts";
import { type Ip, type IpFamily, ipFamily, ipFromBigint } from "../base/ip.ts";
import { type Cidr, familyBits, makePrefix, networkOf, type Prefix, prefixAddress, prefixFamily, prefixLength } from "../base/prefix.ts";
import { isErrno } from "../sys/errno.ts";
import { messageFlags, type NetlinkMessage, type NetlinkRequest } from "../wire/netlink/message.ts";
import { routeBody, routeFlags, routeScope, routeTable, routeTypes } from "../wire/rtnetlink/route.ts";
import { addressFamily, routeMessage } from "../wire/rtnetlink/messages.ts";
import { familyNumber } from "./addresses.ts";
import type { BatchStep } from "./batch-steps.ts";
import { type LinkRef, linkIndex, linkText } from "./link-ref.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { nexusProtocol } from "./ownership.ts";

/** RTPROT_KERNEL of linux/rtnetlink.h. */
const kernelProtocol = 2;

export type RouteType = (typeof routeTypes)[number];

/** A route as the kernel tells it. */
export type Route = {
  destination: Prefix;
  type: RouteType;
  table: number;
  /** Who added it: 2 the kernel, 3 boot, 4 static, 78 Nexus (RTPROT_*, /etc/iproute2/rt_protos). */
  protocol: number;
  scope: number;
  gateway?: Ip;
  /** Index of the link packets leave by. */
  link?: number;
  metric?: number;
  /** Our address on packets we start. */
  source?: Ip;
  mtuBytes?: number;
  /** Several ways at once; then `gateway` and `link` are absent. */
  hops?: { gateway?: Ip; link: number; weight: number }[];
  /** No packets can take it now: its link is down or without carrier. */
  dead: boolean;
};

export type RouteInput = {
  /** `0.0.0.0/0` or `::/0` for the default route. */
  destination: Prefix;
  via?: Ip;
  link?: LinkRef;
  metric?: number;
  source?: Ip;
  /** Main (254) unless told. */
  table?: number;
  /** Refuses or drops instead of forwarding; then neither `via` nor `link`. */
  type?: "unicast" | "blackhole" | "unreachable" | "prohibit";
  mtuBytes?: number;
  /** RTPROT_*; that of Nexus unless told. */
  protocol?: number;
  /** The gateway is reached through the link though no address says so. */
  onLink?: true;
};

/** Every route of every table, IPv4 first, or those of one family, table, link or protocol. @throws KernelError */
export function listRoutes(
  rt: NetlinkSocket,
  options: { family?: IpFamily; table?: number; link?: number; protocol?: number } = {},
): Route[] {
  const families = options.family === undefined ? ([4, 6] as const) : [options.family];
  return families.flatMap((family) => {
    const request = routeBody.request(routeMessage.getRoute, {
      header: { family: familyNumber(family), protocol: options.protocol },
      attributes: { table: options.table, outputLink: options.link },
    });
    return dumpTable(rt, request)
      .filter((message) => message.type === routeMessage.newRoute)
      .map((message) => readRoute(message.body));
  });
}

/** Adds a route with our protocol number. @throws KernelError; EEXIST when one like it is there */
export function addRoute(rt: NetlinkSocket, input: RouteInput): void {
  const step = routeStep(input);
  rt.request(step.op, step.request);
}

/** Adds what the kernel makes with an address and takes away with it: the route to its own network. @throws KernelError; EEXIST when it is there */
export function addConnectedRoute(rt: NetlinkSocket, { link, cidr }: { link: LinkRef; cidr: Cidr }): void {
  // net/ipv4/fib_frontend.c and IP6_RT_PRIO_ADDRCONF of linux/ipv6_route.h.
  const like = prefixFamily(cidr) === 4 ? { source: prefixAddress(cidr) } : { metric: 256 };
  const step = routeStep({ destination: networkOf(cidr), link, protocol: kernelProtocol, ...like });
  rt.request(step.op, step.request);
}

/** Removes our route to that destination, as narrowed by what else is given. @throws KernelError; ESRCH when there is none */
export function removeRoute(rt: NetlinkSocket, input: RouteInput): void {
  rt.request(`remove ${routeText(input)}`, routeRequest(routeMessage.delRoute, 0, input));
}

/** The route the kernel would take to an address now; undefined when it has none or one that refuses. @throws KernelError */
export function lookupRoute(rt: NetlinkSocket, address: Ip): Route | undefined {
  const family = ipFamily(address);
  const request = routeBody.request(routeMessage.getRoute, {
    header: { family: familyNumber(family), destinationLength: familyBits(family), flags: family === 4 ? routeFlags.lookupTable : 0 },
    attributes: { destination: address },
  });
  try {
    const [message] = rt.request(`look up route to ${address}`, request);
    return message === undefined ? undefined : readRoute(message.body);
  } catch (error) {
    if (isErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES")) return undefined;
    // A blackhole answers with the errno of a wrong request, which in turn would be explained.
    if (isErrno(error, "EINVAL") && error.ack === undefined) return undefined;
    throw error;
  }
}

/** The message of addRoute, for a batch. */
export function routeStep(input: RouteInput): BatchStep {
  return {
    op: `add ${routeText(input)}`,
    request: routeRequest(routeMessage.newRoute, messageFlags.create | messageFlags.exclusive, input),
  };
}

/** The route a RTM_NEWROUTE or RTM_DELROUTE message of IPv4 or IPv6 tells of. @throws WireError */
export function readRoute(body: Uint8Array): Route {
  const { header, attributes } = routeBody.decode(body);
  const address = attributes.destination ?? ipFromBigint(header.family === addressFamily.ipv6 ? 6 : 4, 0n);
  if (header.destinationLength > familyBits(ipFamily(address)))
    throw new WireError("route", `${address} cannot have a prefix of ${header.destinationLength} bits`);
  const gateway = attributes.gateway ?? attributes.via;
  return {
    destination: makePrefix(address, header.destinationLength),
    type: routeTypes[header.type] ?? "unspecified",
    table: attributes.table ?? header.table,
    protocol: header.protocol,
    scope: header.scope,
    ...(gateway === undefined ? {} : { gateway }),
    ...(attributes.outputLink === undefined ? {} : { link: attributes.outputLink }),
    ...(attributes.metric === undefined ? {} : { metric: attributes.metric }),
    ...(attributes.preferredSource === undefined ? {} : { source: attributes.preferredSource }),
    ...(attributes.metrics?.mtu === undefined ? {} : { mtuBytes: attributes.metrics.mtu }),
    ...(attributes.hops === undefined ? {} : { hops: attributes.hops.map(hopView) }),
    dead: (header.flags & (routeFlags.dead | routeFlags.linkDown)) !== 0,
  };
}

/** A table nobody has used yet is refused with ENOENT: it is as good as empty. */
function dumpTable(rt: NetlinkSocket, request: NetlinkRequest): NetlinkMessage[] {
  try {
    return rt.dump("list routes", request);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

type Hop = NonNullable<ReturnType<typeof routeBody.decode>["attributes"]["hops"]>[number];

function hopView(hop: Hop): NonNullable<Route["hops"]>[number] {
  const gateway = hop.attributes.gateway ?? hop.attributes.via;
  return { ...(gateway === undefined ? {} : { gateway }), link: hop.index, weight: hop.weight };
}

function routeRequest(type: number, flags: number, input: RouteInput): NetlinkRequest {
  const { destination, via, link } = input;
  const family = prefixFamily(destination);
  const table = input.table ?? routeTable.main;
  const length = prefixLength(destination);
  const kind = input.type ?? "unicast";
  const sameFamily = via === undefined || ipFamily(via) === family;
  return routeBody.request(type, {
    flags,
    header: {
      family: familyNumber(family),
      destinationLength: length,
      table: table > 255 ? routeTable.compat : table,
      protocol: input.protocol ?? nexusProtocol,
      scope:
        type === routeMessage.delRoute
          ? routeScope.nowhere
          : family === 4 && kind === "unicast" && via === undefined
            ? routeScope.link
            : routeScope.universe,
      type: type === routeMessage.delRoute && input.type === undefined ? 0 : routeTypes.indexOf(kind),
      flags: input.onLink === true ? routeFlags.onLink : 0,
    },
    attributes: {
      destination: length === 0 ? undefined : prefixAddress(destination),
      gateway: sameFamily ? via : undefined,
      via: sameFamily ? undefined : via,
      outputLink: link === undefined ? undefined : linkIndex(link),
      metric: input.metric,
      preferredSource: input.source,
      metrics: input.mtuBytes === undefined ? undefined : { mtu: input.mtuBytes },
      table: table > 255 ? table : undefined,
    },
  });
}

function routeText(input: RouteInput): string {
  const words = [input.type === undefined || input.type === "unicast" ? "route" : `${input.type} route`, input.destination];
  if (input.via !== undefined) words.push(`via ${input.via}`);
  if (input.link !== undefined) words.push(`on ${linkText(input.link)}`);
  if (input.table !== undefined) words.push(`in table ${input.table}`);
  return words.join(" ");
}
