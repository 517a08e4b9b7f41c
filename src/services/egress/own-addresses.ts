import { type Clock, systemClock } from "../../base/clock.ts";
import type { Ip } from "../../base/ip.ts";
import { NetlinkSocket } from "../../kernel/netlink-socket.ts";
import { lookupRoute } from "../../kernel/routes.ts";
import type { OwnAddresses } from "./decide.ts";

const keepMs = 1000;

/**
 * What this host takes for its own, asked of the kernel, and of each address once a second at the most. A list of interfaces' addresses would lack
 * those of local routes and of links without carrier, which reach the host all the same.
 */
export function hostAddresses(clock: Clock = systemClock): OwnAddresses {
  const known = new Map<Ip, boolean>();
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    has(address) {
      const now = clock.monotonic();
      if (now - readAt >= keepMs) {
        known.clear();
        readAt = now;
      }
      let own = known.get(address);
      if (own === undefined) {
        using rt = NetlinkSocket.open("route");
        known.set(address, (own = (lookupRoute(rt, address)?.type ?? "unicast") !== "unicast"));
      }
      return own;
    },
  };
}
