import type { IfName } from "../base/names.ts";
import { type Cidr, makeCidr, networkOf, prefixLength } from "../base/prefix.ts";
import { groupOf, isOurGroup } from "./group.ts";
import type { Observed, ObservedLink } from "./observed.ts";
import type { NetworkRecord } from "./records.ts";
import type { LinkWish, Step } from "./steps.ts";
import { bridgeSysctls, type SysctlWish } from "./sysctls.ts";

/** Steps that make one network's bridge what it should be; none when it is. */
export function planNetwork(network: NetworkRecord, observed: Observed): Step[] {
  const link = observed.links.get(network.bridge);
  const making = link === undefined ? [...unname(bridgeAltName(network.name), observed), createBridge(network, observed)] : [];
  const steps: Step[] = link === undefined ? [] : changeBridge(network, link, observed);
  const present = link?.addresses ?? [];
  const wanted = gatewayCidrs(network);
  // Add before remove: the gateway is never without an address.
  for (const cidr of wanted) {
    if (!present.includes(cidr)) steps.push({ kind: "add-address", link: network.bridge, cidr });
    else if (link?.up === true && !link.routed.includes(networkOf(cidr))) steps.push({ kind: "add-route", link: network.bridge, cidr });
  }
  for (const cidr of present)
    if (!wanted.includes(cidr) && !isLinkLocal(cidr)) steps.push({ kind: "remove-address", link: network.bridge, cidr });
  if (link !== undefined) steps.push(...nameLink(link, bridgeAltName(network.name)));
  // Settings come before addresses: an IPv6 address is refused while disable_ipv6 is set.
  return [...making, ...planSysctls(bridgeSysctls(network), observed), ...steps];
}

export function planSysctls(wishes: readonly SysctlWish[], observed: Observed): Step[] {
  const steps: Step[] = [];
  for (const wish of wishes) {
    const was = observed.sysctls.get(wish.path.join("/"));
    if (was !== wish.value) steps.push({ kind: "set-sysctl", path: wish.path, value: wish.value, was });
  }
  return steps;
}

export function gatewayCidrs(network: NetworkRecord): Cidr[] {
  return network.subnets.map((s) => makeCidr(s.gateway, prefixLength(s.prefix)));
}

export function mtuOf(network: NetworkRecord, observed: { uplinkMtuBytes: number }): number {
  return network.spec.mtu === "auto" ? observed.uplinkMtuBytes : network.spec.mtu;
}

export function bridgeAltName(name: string): string {
  return `nexus:${name}`;
}

function createBridge(network: NetworkRecord, observed: Observed): Step {
  return {
    kind: "create-bridge",
    name: network.bridge,
    mac: network.mac,
    mtuBytes: mtuOf(network, observed),
    group: groupOf(network.index),
    altName: bridgeAltName(network.name),
  };
}

function changeBridge(network: NetworkRecord, link: ObservedLink, observed: Observed): Step[] {
  return changeLink(link, { mtuBytes: mtuOf(network, observed), mac: network.mac, group: groupOf(network.index), up: true });
}

/** One change with only what differs, or none. */
export function changeLink(
  link: ObservedLink,
  wish: Required<Pick<LinkWish, "mtuBytes" | "mac" | "group" | "up">> & { master?: IfName },
): Step[] {
  const change: LinkWish = {};
  const was: LinkWish = {};
  const differ = <K extends keyof LinkWish>(key: K, now: LinkWish[K], wanted: LinkWish[K]) => {
    if (now === wanted || wanted === undefined) return;
    change[key] = wanted;
    if (now !== undefined) was[key] = now;
  };
  differ("mtuBytes", link.mtuBytes, wish.mtuBytes);
  differ("mac", link.mac, wish.mac);
  differ("group", link.group, wish.group);
  differ("up", link.up, wish.up);
  differ("master", link.master, wish.master);
  return Object.keys(change).length === 0 ? [] : [{ kind: "change-link", name: link.name, change, was }];
}

/** The mark by which a link is known to be ours, and whose. */
export function nameLink(link: ObservedLink, altName: string): Step[] {
  return link.altNames.includes(altName) ? [] : [{ kind: "add-alt-name", link: link.name, altName }];
}

/** Removes our link that somebody gave another name: it keeps both marks, of which there can be only one. */
export function unname(altName: string, observed: Observed): Step[] {
  const link = [...observed.links.values()].find((l) => isOurGroup(l.group) && l.altNames.includes(altName));
  return link === undefined ? [] : [{ kind: "delete-link", name: link.name, why: "it was given another name" }];
}

function isLinkLocal(cidr: Cidr): boolean {
  return cidr.startsWith("fe80:");
}
