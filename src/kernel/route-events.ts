import { WireError } from "../base/errors.ts";
import type { Fd } from "../sys/fd.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import { addressFamily, type RouteGroup, routeGroup, routeMessage } from "../wire/rtnetlink/messages.ts";
import { type Address, readAddress } from "./addresses.ts";
import { type Link, readLink } from "./link-view.ts";
import { type Neighbour, readNeighbour } from "./neighbours.ts";
import { NetlinkSocket } from "./netlink-socket.ts";
import { readRoute, type Route } from "./routes.ts";

/** One change. After `lost` some were missed: read everything anew. */
export type RouteEvent =
  | { kind: "link"; link: Link }
  | { kind: "link-gone"; link: Link }
  | { kind: "address"; address: Address }
  | { kind: "address-gone"; address: Address }
  | { kind: "route"; route: Route }
  | { kind: "route-gone"; route: Route }
  | { kind: "neighbour"; neighbour: Neighbour }
  | { kind: "neighbour-gone"; neighbour: Neighbour }
  | { kind: "lost" };

export type RouteWatch = Disposable & { unref(): void };

const everything: readonly RouteGroup[] = ["link", "ipv4Address", "ipv6Address", "ipv4Route", "ipv6Route"];

/**
 * Tells of changes to links, addresses and routes from the moment it returns until disposed, on the event loop, in the kernel's order.
 * A link is told of whenever anything about it changed. Neighbours only when asked for: there are many. @throws KernelError
 */
export function watchRoutes(
  onEvent: (event: RouteEvent) => void,
  options: { groups?: readonly RouteGroup[]; netns?: Fd | number } = {},
): RouteWatch {
  const groups = (options.groups ?? everything).map((name) => routeGroup[name]);
  const socket = NetlinkSocket.open("route", { groups, ...(options.netns === undefined ? {} : { netns: options.netns }) });
  const listening = socket.onMessages({
    messages: (messages) => messages.forEach((message) => deliver(message, onEvent)),
    lost: () => onEvent({ kind: "lost" }),
  });
  return { [Symbol.dispose]: () => socket[Symbol.dispose](), unref: () => listening.unref() };
}

/** What a multicast message tells; undefined for kinds and families that are none of ours. @throws WireError */
export function readRouteEvent({ type, body }: NetlinkMessage): RouteEvent | undefined {
  const family = body[0];
  const isIp = family === addressFamily.ipv4 || family === addressFamily.ipv6;
  switch (type) {
    // A port leaving its bridge is announced as a deletion of the bridge family: the link is still there.
    case routeMessage.newLink:
      return family === addressFamily.any ? { kind: "link", link: readLink(body) } : undefined;
    case routeMessage.delLink:
      return family === addressFamily.any ? { kind: "link-gone", link: readLink(body) } : undefined;
    case routeMessage.newAddress:
      return isIp ? { kind: "address", address: readAddress(body) } : undefined;
    case routeMessage.delAddress:
      return isIp ? { kind: "address-gone", address: readAddress(body) } : undefined;
    case routeMessage.newRoute:
      return isIp ? { kind: "route", route: readRoute(body) } : undefined;
    case routeMessage.delRoute:
      return isIp ? { kind: "route-gone", route: readRoute(body) } : undefined;
    case routeMessage.newNeighbour:
    case routeMessage.delNeighbour: {
      const neighbour = isIp ? readNeighbour(body) : undefined;
      return neighbour === undefined ? undefined : { kind: type === routeMessage.newNeighbour ? "neighbour" : "neighbour-gone", neighbour };
    }
    default:
      return undefined;
  }
}

function deliver(message: NetlinkMessage, onEvent: (event: RouteEvent) => void): void {
  const event = readable(message);
  if (event !== undefined) onEvent(event);
}

/** A message we cannot read is one we missed. */
function readable(message: NetlinkMessage): RouteEvent | undefined {
  try {
    return readRouteEvent(message);
  } catch (error) {
    if (error instanceof WireError) return { kind: "lost" };
    throw error;
  }
}
