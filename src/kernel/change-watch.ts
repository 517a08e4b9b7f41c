import { WireError } from "../base/errors.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import { directRouteLink, glanceAtAddress, glanceAtLink, isDefaultRoute, type LinkGlance } from "../wire/rtnetlink/glance.ts";
import { addressFamily, routeGroup, routeMessage } from "../wire/rtnetlink/messages.ts";
import { NetlinkSocket } from "./netlink-socket.ts";

/** What to be told of. A link is told of whenever anything about it changed. */
export type ChangeHandler = {
  link(link: LinkGlance): void;
  linkGone(link: LinkGlance): void;
  /** A link is no longer a port of its bridge. */
  portGone(link: LinkGlance): void;
  addressGone(address: { link: number }): void;
  defaultRoute(): void;
  /** A route that led by a link itself. */
  routeGone(route: { link: number }): void;
  /** Some changes were missed: look at everything. */
  lost(): void;
};

/** Tells, from the event loop, that links, addresses and routes changed, reading as little of each message as that takes. @throws KernelError */
export function watchChanges(handler: ChangeHandler): Disposable {
  const socket = NetlinkSocket.open("route", {
    groups: [routeGroup.link, routeGroup.ipv4Address, routeGroup.ipv6Address, routeGroup.ipv4Route, routeGroup.ipv6Route],
  });
  socket.onMessages({
    messages: (messages) => {
      for (const message of messages) tell(message, handler);
    },
    lost: () => handler.lost(),
  });
  return socket;
}

function tell({ type, body }: NetlinkMessage, handler: ChangeHandler): void {
  try {
    switch (type) {
      case routeMessage.newLink:
        // A bridge announces its ports as messages of its own family, which lack most of the link.
        return body[0] === addressFamily.any ? handler.link(glanceAtLink(body)) : undefined;
      case routeMessage.delLink:
        return body[0] === addressFamily.any ? handler.linkGone(glanceAtLink(body)) : handler.portGone(glanceAtLink(body));
      case routeMessage.delAddress:
        return handler.addressGone(glanceAtAddress(body));
      case routeMessage.newRoute:
        return isDefaultRoute(body) ? handler.defaultRoute() : undefined;
      case routeMessage.delRoute: {
        if (isDefaultRoute(body)) return handler.defaultRoute();
        const link = directRouteLink(body);
        return link === undefined ? undefined : handler.routeGone({ link });
      }
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    // A message we cannot read is one we missed.
    handler.lost();
  }
}
