import type { DecodedOf, InputOf } from "../wire/netlink/attributes.ts";
import type { bridgeAttributes, bridgePortAttributes } from "../wire/rtnetlink/bridge.ts";
import { hostHasIpv6 } from "./ipv6.ts";
import { addressGeneration, linkBody } from "../wire/rtnetlink/link.ts";
import { routeMessage } from "../wire/rtnetlink/messages.ts";
import type { BatchStep } from "./batch-steps.ts";
import { type LinkRef, linkIndex, linkText } from "./link-ref.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/** How a bridge treats one of its ports. `locked` is absent on kernels before 5.18, which do not know it. */
export type BridgePort = {
  isolated: boolean;
  hairpin: boolean;
  learning: boolean;
  unicastFlood: boolean;
  multicastFlood: boolean;
  broadcastFlood: boolean;
  neighbourSuppress: boolean;
  /** A bit per address 01:80:c2:00:00:0x: what a guest sends there is bridged, and met by the bridge's firewall, instead of going to the port itself. */
  groupForwardMask: number;
  locked?: boolean;
};

export type PortChange = { readonly [K in keyof BridgePort]?: BridgePort[K] | undefined };

/** What a bridge is set to. Spanning tree is on when `stp` is; `groupForwardMask` has a bit per address 01:80:c2:00:00:0x. */
export type BridgeOptions = {
  stp: boolean;
  forwardDelaySeconds: number;
  ageingSeconds: number;
  vlanFiltering: boolean;
  multicastSnooping: boolean;
  multicastQuerier: boolean;
  /** Bridged packets also pass the IPv4, IPv6 and ARP hooks of netfilter, whatever the sysctl of br_netfilter says. */
  netfilterIpv4: boolean;
  netfilterIpv6: boolean;
  netfilterArp: boolean;
  groupForwardMask: number;
};

export type BridgeChange = { readonly [K in keyof BridgeOptions]?: BridgeOptions[K] | undefined };

/** Sets the flags given; the others stay. @throws KernelError; EINVAL when the link is no bridge port */
export function changePort(rt: NetlinkSocket, link: LinkRef, change: PortChange): void {
  const step = portStep(link, change);
  rt.request(step.op, step.request);
}

/** Sets the options given; the others stay. @throws KernelError */
export function changeBridge(rt: NetlinkSocket, link: LinkRef, change: BridgeChange): void {
  const request = linkBody.request(routeMessage.newLink, {
    header: { index: linkIndex(link) },
    attributes: { info: { kind: "bridge", data: { bridge: bridgeInput(change) } } },
  });
  rt.request(`set bridge ${linkText(link)} ${worded(change)}`, request);
}

/**
 * RTM_NEWLINK without NLM_F_CREATE: RTM_SETLINK takes the same message and ignores the port's part of it. A port needs no address
 * of its own, and without one it does not greet guests with neighbour discovery; that fits into the same message.
 */
export function portStep(link: LinkRef, change: PortChange & { ipv6LinkLocal?: "none" }): BatchStep {
  const request = linkBody.request(routeMessage.newLink, {
    header: { index: linkIndex(link) },
    attributes: {
      info: { slaveKind: "bridge", slaveData: { bridge: portInput(change) } },
      perFamily:
        change.ipv6LinkLocal === undefined || !hostHasIpv6() ? undefined : { inet6: { addressGeneration: addressGeneration.none } },
    },
  });
  return { op: `set port ${linkText(link)} ${worded(change)}`, request };
}

export function bridgeInput(change: BridgeChange): InputOf<typeof bridgeAttributes> {
  return {
    forwardDelay: hundredths(change.forwardDelaySeconds),
    ageingTime: hundredths(change.ageingSeconds),
    stpState: bit(change.stp),
    vlanFiltering: bit(change.vlanFiltering),
    groupForwardMask: change.groupForwardMask,
    multicastSnooping: bit(change.multicastSnooping),
    multicastQuerier: bit(change.multicastQuerier),
    netfilterCallIptables: bit(change.netfilterIpv4),
    netfilterCallIp6tables: bit(change.netfilterIpv6),
    netfilterCallArptables: bit(change.netfilterArp),
  };
}

export function bridgeView(read: DecodedOf<typeof bridgeAttributes>): BridgeOptions {
  return {
    stp: on(read.stpState),
    forwardDelaySeconds: (read.forwardDelay ?? 0) / 100,
    ageingSeconds: (read.ageingTime ?? 0) / 100,
    vlanFiltering: on(read.vlanFiltering),
    multicastSnooping: on(read.multicastSnooping),
    multicastQuerier: on(read.multicastQuerier),
    netfilterIpv4: on(read.netfilterCallIptables),
    netfilterIpv6: on(read.netfilterCallIp6tables),
    netfilterArp: on(read.netfilterCallArptables),
    groupForwardMask: read.groupForwardMask ?? 0,
  };
}

export function portView(read: DecodedOf<typeof bridgePortAttributes>): BridgePort {
  return {
    isolated: on(read.isolated),
    hairpin: on(read.hairpin),
    learning: on(read.learning),
    unicastFlood: on(read.unicastFlood),
    multicastFlood: on(read.multicastFlood),
    broadcastFlood: on(read.broadcastFlood),
    neighbourSuppress: on(read.neighbourSuppress),
    groupForwardMask: read.groupForwardMask ?? 0,
    ...(read.locked === undefined ? {} : { locked: on(read.locked) }),
  };
}

function portInput(change: PortChange): InputOf<typeof bridgePortAttributes> {
  return {
    hairpin: bit(change.hairpin),
    learning: bit(change.learning),
    unicastFlood: bit(change.unicastFlood),
    multicastFlood: bit(change.multicastFlood),
    broadcastFlood: bit(change.broadcastFlood),
    neighbourSuppress: bit(change.neighbourSuppress),
    groupForwardMask: change.groupForwardMask,
    isolated: bit(change.isolated),
    locked: bit(change.locked),
  };
}

function on(value: number | undefined): boolean {
  return value !== undefined && value !== 0;
}

function bit(value: boolean | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** The kernel counts these times in USER_HZ, which is 100 on every machine we run on. */
function hundredths(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.round(seconds * 100);
}

function worded(change: object): string {
  return Object.entries(change)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}
