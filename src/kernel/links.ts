import { NexusError } from "../base/errors.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, fdNumber } from "../sys/fd.ts";
import { messageFlags, type NetlinkMessage, type NetlinkRequest } from "../wire/netlink/message.ts";
import { addressGeneration, linkBody, linkFlags, type LinkInput, withoutInet6Counters } from "../wire/rtnetlink/link.ts";
import { addressFamily, routeMessage } from "../wire/rtnetlink/messages.ts";
import { type BatchStep, batchSteps } from "./batch-steps.ts";
import { hostHasIpv6 } from "./ipv6.ts";
import { type LinkRef, linkIndex, linkText } from "./link-ref.ts";
import { type Link, readLink } from "./link-view.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { type BridgeChange, bridgeInput, type PortChange, portStep } from "./ports.ts";

export type BridgeInput = {
  name: IfName;
  /** Fixed, or the bridge takes that of its lowest port and changes it with them. */
  mac: Mac;
  mtuBytes: number;
  group: number;
  altName?: string;
  up?: true;
  /** Spanning tree is off and the forward delay 0 unless told; the rest is as the kernel makes it. */
  options?: BridgeChange;
};

export type VethInput = {
  name: IfName;
  mac: Mac;
  mtuBytes: number;
  group: number;
  master?: { readonly index: number; readonly name: string };
  altName?: string;
  /** Flags of the bridge port; only with a master. */
  port?: PortChange;
  up?: true;
  /** Made where it belongs, in `netns`: moving it there later costs 20 ms. Set it up from within (configureGuestSide). */
  peer: { name: IfName; mac: Mac; mtuBytes: number; group?: number; netns: Fd | number };
};

/** What can be set on a link that is there; what is left out stays. */
export type LinkChange = {
  up?: boolean;
  mtuBytes?: number;
  mac?: Mac;
  /** "none" takes it out of its bridge. */
  master?: LinkRef | "none";
  group?: number;
  /** The kernel before 6.2 renames only links that are down. */
  name?: IfName;
  /** Whether the kernel gives the link an IPv6 link-local address when it comes up. */
  ipv6LinkLocal?: "automatic" | "none";
};

/** Makes a bridge and gives its index. Nothing is left behind when any part is refused. @throws KernelError; EEXIST when the name is taken */
export function createBridge(rt: NetlinkSocket, input: BridgeInput): number {
  const options: BridgeChange = { stp: false, forwardDelaySeconds: 0, ...input.options };
  const made = create(rt, `create bridge ${input.name}`, {
    header: upHeader(input.up),
    attributes: { ...endInput(input), mtu: undefined, info: { kind: "bridge", data: { bridge: bridgeInput(options) } } },
  });
  const steps: BatchStep[] = [];
  // Only an MTU that is changed stays: one given at birth becomes the smallest of the ports', or 1500, as they come and go (net/bridge/br_device.c).
  if (input.mtuBytes !== ethernetMtuBytes) steps.push(changeStep(made, { mtuBytes: input.mtuBytes }));
  if (input.altName !== undefined) steps.push(altNameStep(made, input.altName));
  finish(rt, made, steps);
  return made.index;
}

/** Makes both ends of a veth and gives their indexes. Nothing is left behind when any part is refused. @throws KernelError; EEXIST when a name is taken */
export function createVeth(rt: NetlinkSocket, input: VethInput): { index: number; peerIndex: number } {
  const { master, peer } = input;
  const netnsFd = fdNumber(peer.netns);
  const made = create(rt, `create veth ${input.name}${master === undefined ? "" : ` on ${master.name}`}`, {
    header: upHeader(input.up),
    attributes: {
      ...endInput(input),
      ...oneQueue,
      master: master?.index,
      // IFF_UP here is refused with ENOTCONN: the other end does not exist yet.
      info: { kind: "veth", data: { veth: { peer: { header: {}, attributes: { ...endInput(peer), ...oneQueue, netnsFd } } } } },
    },
  });
  const steps: BatchStep[] = [];
  if (input.altName !== undefined) steps.push(altNameStep(made, input.altName));
  if (master !== undefined) steps.push(portStep(made, { ...input.port, ipv6LinkLocal: "none" }));
  finish(rt, made, steps);
  // Old kernels leave the peer's index out when it is the same.
  return { index: made.index, peerIndex: made.peer?.index ?? made.index };
}

/** All links, or those of one bridge or kind. @throws KernelError */
export function listLinks(rt: NetlinkSocket, options: { master?: number; kind?: string } = {}): Link[] {
  const info = options.kind === undefined ? undefined : { kind: options.kind };
  const attributes: LinkInput = { filter: withoutInet6Counters, master: options.master, info };
  const found = rt.dump("list links", linkBody.request(routeMessage.getLink, { header: {}, attributes }));
  return found.filter(isLinkMessage).map((message) => readLink(message.body));
}

/** The index of a link with that very name, found without the lock that every netlink request waits for; undefined when there is none. */
export function findLinkIndex(rt: NetlinkSocket, name: string): number | undefined {
  return rt.interfaceIndex(name);
}

/** The link of that index, name or alternative name; undefined when there is none. @throws KernelError */
export function getLink(rt: NetlinkSocket, link: number | string): Link | undefined {
  const request = linkBody.request(
    routeMessage.getLink,
    typeof link === "number"
      ? { header: { index: link }, attributes: { filter: withoutInet6Counters } }
      : { header: {}, attributes: named(link) },
  );
  try {
    const [message] = rt.request(`look up link ${link}`, request);
    return message === undefined ? undefined : readLink(message.body);
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** @throws KernelError */
export function changeLink(rt: NetlinkSocket, link: LinkRef, change: LinkChange): void {
  const step = changeStep(link, change);
  rt.request(step.op, step.request);
}

/** @throws KernelError; EEXIST when any link has that name */
export function addAltName(rt: NetlinkSocket, link: LinkRef, altName: string): void {
  const step = altNameStep(link, altName);
  rt.request(step.op, step.request);
}

/** @throws KernelError; EINVAL when the link has no such alternative name */
export function removeAltName(rt: NetlinkSocket, link: LinkRef, altName: string): void {
  rt.request(`remove alternative name ${altName} of ${linkText(link)}`, altNameRequest(routeMessage.delLinkProperty, link, altName));
}

/** Deletes a link and its other end; false when it was gone. Blocks about 20 ms in the kernel. @throws KernelError */
export function deleteLink(rt: NetlinkSocket, link: LinkRef): boolean {
  return unlessGone(() => rt.request(`delete ${linkText(link)}`, deleteRequest(link)));
}

/** As deleteLink, on a thread; the socket serves nothing else meanwhile. */
export function deleteLinkAsync(rt: NetlinkSocket, link: LinkRef): Promise<boolean> {
  return unlessGoneAsync(rt.requestAsync(`delete ${linkText(link)}`, deleteRequest(link)));
}

/** Deletes every link of a group at once, 40 times faster than one by one; false when there was none. @throws KernelError */
export function deleteLinkGroup(rt: NetlinkSocket, group: number): boolean {
  return unlessGone(() => rt.request(`delete links of group ${group}`, deleteGroupRequest(group)));
}

/** As deleteLinkGroup, on a thread; the socket serves nothing else meanwhile. */
export function deleteLinkGroupAsync(rt: NetlinkSocket, group: number): Promise<boolean> {
  return unlessGoneAsync(rt.requestAsync(`delete links of group ${group}`, deleteGroupRequest(group)));
}

/** The message of changeLink, for a batch. */
export function changeStep(link: LinkRef, change: LinkChange): BatchStep {
  const { master, ipv6LinkLocal } = change;
  const attributes: LinkInput = {
    address: change.mac,
    name: change.name,
    mtu: change.mtuBytes,
    master: master === undefined ? undefined : master === "none" ? 0 : linkIndex(master),
    group: change.group,
    perFamily:
      ipv6LinkLocal === undefined || !hostHasIpv6()
        ? undefined
        : { inet6: { addressGeneration: ipv6LinkLocal === "none" ? addressGeneration.none : addressGeneration.eui64 } },
  };
  const header = {
    index: linkIndex(link),
    ...(change.up === undefined ? {} : { flags: change.up ? linkFlags.up : 0, change: linkFlags.up }),
  };
  return { op: `set ${linkText(link)} ${changeText(change)}`, request: linkBody.request(routeMessage.newLink, { header, attributes }) };
}

/** What a new bridge has. */
const ethernetMtuBytes = 1500;

type Made = { index: number; name: string; peer?: Link["peer"] };
type Creation = { header: { flags?: number; change?: number }; attributes: LinkInput };

/** What follows must name the index the kernel gave: by name it could hit a link that is not ours. */
function create(rt: NetlinkSocket, op: string, creation: Creation): Made {
  const flags = messageFlags.create | messageFlags.exclusive | messageFlags.echo;
  const [echo] = rt.request(op, linkBody.request(routeMessage.newLink, { ...creation, flags })).filter(isLinkMessage);
  // Kernels before 6.2 do not echo.
  const made = echo === undefined ? getLink(rt, creation.attributes.name ?? "") : readLink(echo.body);
  if (made === undefined) throw new NexusError("kernel-refused", `${op}: it was made and is gone already`);
  return made;
}

function finish(rt: NetlinkSocket, made: Made, steps: readonly BatchStep[]): void {
  if (steps.length === 0) return;
  try {
    batchSteps(rt, steps);
  } catch (error) {
    deleteLink(rt, made);
    throw error;
  }
}

function endInput(end: { name: IfName; mac: Mac; mtuBytes: number; group?: number }) {
  return { address: end.mac, name: end.name, mtu: end.mtuBytes, group: end.group };
}

/** What a veth uses anyway. Left to itself it is made with a queue for each processor, and waits twice for all of them to drop the rest (drivers/net/veth.c veth_init_queues). */
const oneQueue = { transmitQueues: 1, receiveQueues: 1 } as const;

function upHeader(up: true | undefined) {
  return up === true ? { flags: linkFlags.up, change: linkFlags.up } : {};
}

/** The message of addAltName, for a batch. */
export function altNameStep(link: LinkRef, altName: string): BatchStep {
  return {
    op: `add alternative name ${altName} to ${linkText(link)}`,
    request: altNameRequest(routeMessage.newLinkProperty, link, altName),
  };
}

function altNameRequest(type: number, link: LinkRef, altName: string): NetlinkRequest {
  const flags = type === routeMessage.newLinkProperty ? messageFlags.create | messageFlags.exclusive | messageFlags.append : 0;
  return linkBody.request(type, { flags, header: { index: linkIndex(link) }, attributes: { properties: { altName: [altName] } } });
}

function deleteRequest(link: LinkRef): NetlinkRequest {
  return linkBody.request(routeMessage.delLink, { header: { index: linkIndex(link) } });
}

function deleteGroupRequest(group: number): NetlinkRequest {
  // Group 0 is where every link begins: deleting it would take the host off the network.
  if (!Number.isInteger(group) || group <= 0) throw new RangeError(`links of group ${group} are not deleted together`);
  return linkBody.request(routeMessage.delLink, { header: {}, attributes: { group } });
}

/** IFLA_IFNAME holds 15 bytes; longer ones can only be alternative names. */
function named(name: string): LinkInput {
  return { filter: withoutInet6Counters, ...(Buffer.byteLength(name) > 15 ? { altName: name } : { name }) };
}

/** A bridge also announces its ports, as messages of its own family that do not have the whole link. */
function isLinkMessage(message: NetlinkMessage): boolean {
  return message.type === routeMessage.newLink && message.body[0] === addressFamily.any;
}

function unlessGone(remove: () => unknown): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

async function unlessGoneAsync(removal: Promise<unknown>): Promise<boolean> {
  try {
    await removal;
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

function changeText(change: LinkChange): string {
  const words: string[] = [];
  if (change.up !== undefined) words.push(change.up ? "up" : "down");
  if (change.mtuBytes !== undefined) words.push(`mtu ${change.mtuBytes}`);
  if (change.mac !== undefined) words.push(`mac ${change.mac}`);
  if (change.master !== undefined) words.push(change.master === "none" ? "without master" : `into ${linkText(change.master)}`);
  if (change.group !== undefined) words.push(`group ${change.group}`);
  if (change.name !== undefined) words.push(`name ${change.name}`);
  if (change.ipv6LinkLocal !== undefined) words.push(`IPv6 link-local ${change.ipv6LinkLocal}`);
  return words.join(", ");
}
