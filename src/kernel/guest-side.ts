import type { Ip } from "../base/ip.ts";
import { type Cidr, makePrefix, type Prefix } from "../base/prefix.ts";
import { addressStep } from "./addresses.ts";
import { batchSteps } from "./batch-steps.ts";
import type { LinkRef } from "./link-ref.ts";
import { changeStep } from "./links.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { type RouteInput, routeStep } from "./routes.ts";

export type GuestSide = {
  /** The guest's end of its veth, which createVeth gave. */
  link: LinkRef;
  addresses: readonly Cidr[];
  /** Default routes, at most one per family. */
  gateways: readonly Ip[];
  /** Beyond the default routes. */
  routes?: readonly RouteInput[];
  /** Of the default routes: a guest on several networks prefers the lowest. */
  metric?: number;
};

/**
 * Brings up loopback and the guest's link, and gives it its addresses and routes, in one call to the kernel.
 * `rt` is a socket opened in the guest's network namespace. @throws KernelError of the first part that was refused
 */
export function configureGuestSide(rt: NetlinkSocket, side: GuestSide): void {
  const { link, metric } = side;
  const defaults = side.gateways.map((via): RouteInput => ({
    destination: anywhere(via),
    via,
    link,
    ...(metric === undefined ? {} : { metric }),
  }));
  batchSteps(rt, [
    changeStep(loopback, { up: true }),
    changeStep(link, { up: true }),
    ...side.addresses.map((cidr) => addressStep({ link, cidr })),
    ...[...defaults, ...(side.routes ?? [])].map(routeStep),
  ]);
}

/** Every network namespace is born with loopback as its first link. */
const loopback: LinkRef = { index: 1, name: "lo" };

function anywhere(gateway: Ip): Prefix {
  return makePrefix(gateway, 0);
}
