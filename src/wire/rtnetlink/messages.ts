/** Message types of the route family, and the multicast groups that announce changes (linux/rtnetlink.h). */

export const routeMessage = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  delNeighbour: 29,
  getNeighbour: 30,
  newLinkProperty: 108,
  delLinkProperty: 109,
} as const;

/** Multicast group numbers, as NETLINK_ADD_MEMBERSHIP takes them. */
export const routeGroup = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv6Address: 9,
  ipv6Route: 11,
} as const;

export type RouteGroup = keyof typeof routeGroup;

/** Address families of the headers (sys/socket.h); `any` asks a dump for all of them. */
export const addressFamily = { any: 0, ipv4: 2, bridge: 7, ipv6: 10 } as const;
