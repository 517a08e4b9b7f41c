import { type Ip, type IpFamily, ipFamily } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { NetlinkMessage } from "../wire/netlink/message.ts";
import { neighbourBody, neighbourState } from "../wire/rtnetlink/neighbour.ts";
import { addressFamily, routeMessage } from "../wire/rtnetlink/messages.ts";
import { familyNumber } from "./addresses.ts";
import { batchIgnoring } from "./batch-steps.ts";
import { type LinkRef, linkIndex, linkText } from "./link-ref.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/** What the host knows about an address on a link of its own. */
export type Neighbour = { link: number; address: Ip; mac?: Mac; state: NeighbourState };
export type NeighbourState = keyof typeof neighbourState | "none";

/** The ARP and neighbour discovery entries of the namespace or of one link. @throws KernelError */
export function listNeighbours(rt: NetlinkSocket, options: { link?: number; family?: IpFamily } = {}): Neighbour[] {
  const request = neighbourBody.request(routeMessage.getNeighbour, {
    header: { family: options.family === undefined ? addressFamily.any : familyNumber(options.family) },
    attributes: { link: options.link },
  });
  const found = rt
    .dump("list neighbours", request)
    .filter(isIpNeighbour)
    .map((message) => readNeighbour(message.body));
  return found.filter((neighbour) => neighbour !== undefined);
}

/** Forgets what was learned on a link, so that an address that moved is asked for anew; permanent entries stay. Gives how many went. @throws KernelError */
export function flushNeighbours(rt: NetlinkSocket, link: LinkRef): number {
  const index = linkIndex(link);
  const learned = listNeighbours(rt, { link: index }).filter(({ state }) => state !== "permanent" && state !== "noArp");
  const steps = learned.map(({ address }) => ({
    op: `forget neighbour ${address} on ${linkText(link)}`,
    request: neighbourBody.request(routeMessage.delNeighbour, {
      header: { family: familyNumber(ipFamily(address)), index },
      attributes: { address },
    }),
  }));
  return batchIgnoring(rt, steps, ["ENOENT"]);
}

/** The entry a RTM_NEWNEIGH or RTM_DELNEIGH message tells of; undefined for one without address. @throws WireError */
export function readNeighbour(body: Uint8Array): Neighbour | undefined {
  const { header, attributes } = neighbourBody.decode(body);
  if (attributes.address === undefined) return undefined;
  const mac = attributes.hardwareAddress;
  const state = (Object.keys(neighbourState) as (keyof typeof neighbourState)[]).find((name) => neighbourState[name] === header.state);
  return { link: header.index, address: attributes.address, ...(typeof mac === "string" ? { mac } : {}), state: state ?? "none" };
}

/** Bridges announce their forwarding tables with the same messages, under their own family. */
export function isIpNeighbour(message: NetlinkMessage): boolean {
  return message.body[0] === addressFamily.ipv4 || message.body[0] === addressFamily.ipv6;
}
