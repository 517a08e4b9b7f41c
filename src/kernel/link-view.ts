import type { Mac } from "../base/mac.ts";
import { linkFlags, type LinkAttributes, linkBody, operStates } from "../wire/rtnetlink/link.ts";
import { type BridgeOptions, type BridgePort, bridgeView, portView } from "./ports.ts";

/** What the kernel says about a link. Absent means the kernel says nothing. */
export type Link = {
  index: number;
  name: string;
  /** The driver: bridge, veth, tun (taps too), vxlan…; absent for hardware and loopback. */
  kind?: string;
  /** Absent on links without Ethernet addresses. */
  mac?: Mac;
  mtuBytes: number;
  group: number;
  /** Index of the bridge the link is a port of. */
  master?: number;
  /** Set up by its administrator; whether it works is `operState`. */
  up: boolean;
  loopback: boolean;
  /** There is a signal: for a veth, the other end is up; for a tap, someone has it open. */
  carrier: boolean;
  operState: OperState;
  /** IFF_*. */
  flags: number;
  altNames: string[];
  alias?: string;
  /** The other end of a veth; `netnsId` is how this namespace numbers the other one, absent within one namespace. */
  peer?: { index: number; netnsId?: number };
  tun?: { mode: "tun" | "tap"; persistent: boolean; queues: number; owner?: number };
  bridge?: BridgeOptions;
  /** When the master is a bridge. */
  port?: BridgePort;
  statistics?: LinkStatistics;
};

export type OperState = (typeof operStates)[number];

/** Counted from the link's side: `received` came in to this host. Numbers stay exact to 2^53. */
export type LinkStatistics = {
  receivedBytes: number;
  receivedPackets: number;
  receiveErrors: number;
  receiveDrops: number;
  sentBytes: number;
  sentPackets: number;
  sendErrors: number;
  sendDrops: number;
};

/** The link a RTM_NEWLINK or RTM_DELLINK message tells of. @throws WireError */
export function readLink(body: Uint8Array): Link {
  const { header, attributes } = linkBody.decode(body);
  const { info } = attributes;
  const peer = info?.kind === "veth" ? peerOf(header.index, attributes) : undefined;
  const tun = info?.data?.tun;
  return {
    index: header.index,
    name: attributes.name ?? "",
    ...(info?.kind === undefined ? {} : { kind: info.kind }),
    ...(typeof attributes.address === "string" ? { mac: attributes.address } : {}),
    mtuBytes: attributes.mtu ?? 0,
    group: attributes.group ?? 0,
    ...(attributes.master === undefined || attributes.master === 0 ? {} : { master: attributes.master }),
    up: (header.flags & linkFlags.up) !== 0,
    loopback: (header.flags & linkFlags.loopback) !== 0,
    carrier: attributes.carrier === 1,
    operState: operStates[attributes.operState ?? 0] ?? "unknown",
    flags: header.flags,
    altNames: attributes.properties?.altName ?? [],
    ...(attributes.alias === undefined ? {} : { alias: attributes.alias }),
    ...(peer === undefined ? {} : { peer }),
    ...(tun === undefined ? {} : { tun: tunView(tun) }),
    ...(info?.data?.bridge === undefined ? {} : { bridge: bridgeView(info.data.bridge) }),
    ...(info?.slaveData?.bridge === undefined ? {} : { port: portView(info.slaveData.bridge) }),
    ...(attributes.statistics === undefined ? {} : { statistics: statisticsView(attributes.statistics) }),
  };
}

/** Kernels leave IFLA_LINK out when both ends happen to have the same index in their namespaces. */
function peerOf(index: number, { link, linkNetnsId }: LinkAttributes): Link["peer"] {
  if (link === undefined && linkNetnsId === undefined) return undefined;
  return { index: link ?? index, ...(linkNetnsId === undefined || linkNetnsId < 0 ? {} : { netnsId: linkNetnsId }) };
}

type LinkData = NonNullable<NonNullable<LinkAttributes["info"]>["data"]>;

function tunView(read: NonNullable<LinkData["tun"]>): NonNullable<Link["tun"]> {
  return {
    mode: read.type === 2 ? "tap" : "tun",
    persistent: read.persistent === 1,
    queues: (read.queues ?? 0) + (read.disabledQueues ?? 0),
    ...(read.owner === undefined ? {} : { owner: read.owner }),
  };
}

function statisticsView(read: NonNullable<LinkAttributes["statistics"]>): LinkStatistics {
  return {
    receivedBytes: Number(read.receivedBytes),
    receivedPackets: Number(read.receivedPackets),
    receiveErrors: Number(read.receiveErrors),
    receiveDrops: Number(read.receiveDrops),
    sentBytes: Number(read.sentBytes),
    sentPackets: Number(read.sentPackets),
    sendErrors: Number(read.sendErrors),
    sendDrops: Number(read.sendDrops),
  };
}
