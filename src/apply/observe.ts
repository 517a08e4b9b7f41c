import type { IfName } from "../base/names.ts";
import { type Prefix, prefixFamily, prefixLength } from "../base/prefix.ts";
import { listAddresses } from "../kernel/addresses.ts";
import type { Link } from "../kernel/link-view.ts";
import { listLinks } from "../kernel/links.ts";
import { listNamespaces, namespaceExists, namespaceId, namespacePath, openNamespace } from "../kernel/namespaces.ts";
import { nexusProtocol } from "../kernel/ownership.ts";
import { isInhabited } from "../kernel/processes.ts";
import { hostHasIpv6 } from "../kernel/ipv6.ts";
import { NetlinkSocket } from "../kernel/netlink-socket.ts";
import { listRoutes, type Route } from "../kernel/routes.ts";
import { readSysctl, type SysctlPath } from "../kernel/sysctl.ts";
import { isOurGroup } from "../plan/group.ts";
import { guestInterface } from "../base/names.ts";
import type { Observed, ObservedGuestSide, ObservedLink } from "../plan/observed.ts";
import { type AttachmentRecord, namespacesOf, type NetworkRecord } from "../plan/records.ts";
import { judgedGroups } from "../plan/steps.ts";
import { bridgeSysctls, hostSysctls } from "../plan/sysctls.ts";
import { netnsPrefix } from "../plan/naming.ts";
import type { Host } from "./host.ts";

export type Question = {
  networks: readonly NetworkRecord[];
  attachments: readonly AttachmentRecord[];
  /** Names of the namespaces of guests that do not run. */
  dormant: readonly string[];
  /** What was seen inside guests' namespaces; those not looked at are taken to be as they should. */
  guestSides: Observed["guestSides"];
  residents: ReadonlyMap<string, number>;
  tapHolders: Observed["tapHolders"];
};

/** Reads everything a plan compares with. */
export function observe(host: Host, question: Question): Observed {
  const { links, routes } = readLinks(host.route);
  const routerAdvertLinks = advertisedBy(routes, links);
  const namespaces = new Set(listNamespaces());
  const wanted = namespacesOf(question.attachments);
  return {
    links: new Map(links.map((link) => [link.name, link])),
    namespaces,
    provenNamespaces: new Set(
      [...namespaces].filter(
        (name) => name.startsWith(netnsPrefix) && !wanted.has(name) && isOurNamespace(name, { asMade: question.dormant.includes(name) }),
      ),
    ),
    residents: new Map(question.residents),
    tapHolders: question.tapHolders,
    guestSides: question.guestSides,
    sysctls: readSettings(
      [...hostSysctls(question.networks, routerAdvertLinks), ...question.networks.flatMap((n) => bridgeSysctls(n))].map(
        (wish) => wish.path,
      ),
    ),
    uplinkMtuBytes: uplinkMtu(links, routes),
    routerAdvertLinks,
  };
}

/** Only what a fresh attachment needs to know: that nothing of it is there. */
export function nothingObserved(uplinkMtuBytes: number): Observed {
  return {
    links: new Map(),
    namespaces: new Set(),
    provenNamespaces: new Set(),
    residents: new Map(),
    tapHolders: new Map(),
    guestSides: new Map(),
    sysctls: new Map(),
    uplinkMtuBytes,
    routerAdvertLinks: [],
  };
}

/** Bytes that fit the interface of the default route; 1500 when there is none. */
export function uplinkMtu(links: readonly ObservedLink[], routes: readonly Route[]): number {
  const defaults = routes.filter(
    (r) => prefixLength(r.destination) === 0 && r.type === "unicast" && r.link !== undefined && r.table === mainTable,
  );
  const best = defaults.toSorted(
    (a, b) => prefixFamily(a.destination) - prefixFamily(b.destination) || (a.metric ?? 0) - (b.metric ?? 0),
  )[0];
  const mtu = links.find((l) => l.index === best?.link)?.mtuBytes ?? 1500;
  return Math.min(Math.max(mtu, 1280), 65535);
}

/** Prefixes the host routes somewhere, ours left out, in words. */
export function routedPrefixes(host: Host): { prefix: Prefix; by: string }[] {
  const { links, routes } = readLinks(host.route);
  return routes
    .filter((route) => route.type === "unicast" && route.destination !== undefined)
    .flatMap((route) => {
      const link = links.find((l) => l.index === route.link);
      if (link !== undefined && isOurGroup(link.group)) return [];
      return [{ prefix: route.destination, by: `the route via ${link?.name ?? route.gateway ?? "several ways"}` }];
    });
}

export function readLinks(route: NetlinkSocket): { links: ObservedLink[]; routes: Route[] } {
  const raw = listLinks(route);
  const byIndex = new Map(raw.map((link) => [link.index, link]));
  const addresses = Map.groupBy(listAddresses(route), (a) => a.link);
  const routes = listRoutes(route);
  const direct = Map.groupBy(routes.filter(isDirect), (r) => r.link);
  const links = raw.map((link) =>
    observedLink(link, byIndex, {
      addresses: (addresses.get(link.index) ?? []).map((a) => a.cidr),
      routed: (direct.get(link.index) ?? []).map((r) => r.destination),
    }),
  );
  return { links, routes };
}

/** Whether it leads by a link itself, as to the network of one of its addresses. */
export function isDirect(route: Route): boolean {
  return route.table === mainTable && route.type === "unicast" && route.gateway === undefined;
}

const mainTable = 254;
/** RTPROT_RA of linux/rtnetlink.h. */
const fromRouterAdvert = 9;

function observedLink(link: Link, byIndex: Map<number, Link>, of: Pick<ObservedLink, "addresses" | "routed">): ObservedLink {
  const master = link.master === undefined ? undefined : byIndex.get(link.master);
  return {
    name: link.name as IfName,
    index: link.index,
    kind: link.kind,
    mac: link.mac,
    mtuBytes: link.mtuBytes,
    group: link.group,
    up: link.up,
    master: master?.name as IfName | undefined,
    altNames: link.altNames,
    port: link.port === undefined ? undefined : portOf(link.port),
    ...of,
  };
}

/** Looks inside a guest's namespace: some 150 µs. */
function portOf(port: NonNullable<Link["port"]>): NonNullable<ObservedLink["port"]> {
  const usual = port.learning && port.unicastFlood && port.multicastFlood && port.broadcastFlood && !port.neighbourSuppress;
  return { isolated: port.isolated, hairpin: port.hairpin, judged: usual && (port.groupForwardMask & judgedGroups) === judgedGroups };
}

export function observeGuestSide(nic: number, name: string): ObservedGuestSide | "gone" {
  if (!namespaceExists(name)) return "gone";
  using netns = openNamespace(namespacePath(name));
  using inside = NetlinkSocket.open("route", { netns });
  const links = listLinks(inside);
  const link = links.find((l) => l.name === guestInterface(nic));
  if (link === undefined) return "gone";
  const routes = listRoutes(inside, { link: link.index });
  return {
    link: guestInterface(nic),
    mac: link.mac,
    up: link.up,
    mtuBytes: link.mtuBytes,
    loopbackUp: links.some((l) => l.loopback && l.up),
    addresses: listAddresses(inside, { link: link.index }).map((a) => a.cidr),
    gateways: routes.flatMap((r) => (prefixLength(r.destination) === 0 && r.gateway !== undefined ? [r.gateway] : [])),
    routes: routes.flatMap((r) =>
      r.protocol === nexusProtocol && r.gateway !== undefined ? [{ destination: r.destination, via: r.gateway }] : [],
    ),
  };
}

/**
 * A name alone proves nothing: somebody else may have a namespace called nexus-something. A link of ours does; and where a guest of
 * that name was about to be attached, so does a namespace in which nothing has happened yet: every link down and nobody inside.
 */
function isOurNamespace(name: string, { asMade }: { asMade: boolean }): boolean {
  try {
    using netns = openNamespace(namespacePath(name));
    using inside = NetlinkSocket.open("route", { netns });
    const links = listLinks(inside);
    if (links.some((link) => isOurGroup(link.group))) return true;
    return asMade && links.every((link) => !link.up) && !isInhabited(namespaceId(netns));
  } catch {
    // Gone meanwhile, or not to be opened: not proved.
    return false;
  }
}

function advertisedBy(routes: readonly Route[], links: readonly ObservedLink[]): IfName[] {
  const indexes = new Set(routes.filter((r) => r.protocol === fromRouterAdvert && prefixLength(r.destination) === 0).map((r) => r.link));
  return links.filter((l) => indexes.has(l.index)).map((l) => l.name);
}

/** A kernel without IPv6 has it disabled everywhere, without a setting that says so. */
function withoutIpv6(path: readonly string[]): string | undefined {
  return path[1] === "ipv6" && path.at(-1) === "disable_ipv6" && !hostHasIpv6() ? "1" : undefined;
}

function readSettings(paths: readonly (readonly string[])[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const path of paths) {
    const value = readSysctl(path as SysctlPath) ?? withoutIpv6(path);
    if (value !== undefined) values.set(path.join("/"), value);
  }
  return values;
}
