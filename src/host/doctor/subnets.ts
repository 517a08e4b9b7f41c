import { type Prefix, prefixesOverlap, prefixLength } from "../../base/prefix.ts";
import { listLinks } from "../../kernel/links.ts";
import { NetlinkSocket } from "../../kernel/netlink-socket.ts";
import { listRoutes, type Route } from "../../kernel/routes.ts";
import type { Check, ConfiguredNetwork, Finding } from "./report.ts";

/** A subnet that a VPN, a LAN or another program uses too makes one of the two unreachable, mostly without a word. */
export const subnets: Check = {
  name: "subnets",
  needed: true,
  probe({ networks }) {
    using route = NetlinkSocket.open("route");
    const links = new Map(listLinks(route).map((link) => [link.index, link.name]));
    const routes = listRoutes(route).filter(isTaken);
    const names = new Set(links.values());
    const faults: { text: string; fatal: boolean }[] = [...pairs(networks)].map((text) => ({ text, fatal: true }));
    for (const network of networks) {
      for (const prefix of network.prefixes) {
        for (const other of routes) {
          if (!prefixesOverlap(prefix, other.destination) || waysOf(other).every((link) => links.get(link) === network.bridge)) continue;
          // Once the bridge is up, its own narrower route wins over a wide one, which then only loses this part.
          const fatal = !names.has(network.bridge) || prefixLength(other.destination) >= prefixLength(prefix);
          faults.push({ text: `${network.name} (${prefix}) overlaps ${describe(other, links)}`, fatal });
        }
      }
    }
    return judge(faults, networks);
  },
};

function judge(faults: readonly { text: string; fatal: boolean }[], networks: readonly ConfiguredNetwork[]): Finding {
  if (faults.length === 0) {
    const count = networks.reduce((sum, network) => sum + network.prefixes.length, 0);
    return {
      ok: "ok",
      detail:
        count === 0 ? "no network is configured" : `${count} ${count === 1 ? "subnet overlaps" : "subnets overlap"} no route of this host`,
    };
  }
  const detail = faults
    .slice(0, 4)
    .map((fault) => fault.text)
    .join("; ");
  const more = faults.length > 4 ? `; and ${faults.length - 4} more` : "";
  return {
    ok: faults.some((fault) => fault.fatal) ? "fail" : "warn",
    detail: `${detail}${more}`,
    remedy: "give the network another subnet, or `subnets: [auto]`, which takes a free one",
  };
}

function* pairs(networks: readonly ConfiguredNetwork[]): Generator<string> {
  const all = networks.flatMap((network) => network.prefixes.map((prefix) => ({ name: network.name, prefix })));
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1))
      if (prefixesOverlap(a.prefix, b.prefix)) yield `networks ${a.name} (${a.prefix}) and ${b.name} (${b.prefix}) overlap`;
  }
}

/** Default routes overlap everything and harm nothing; multicast and broadcast are no places. */
function isTaken(route: Route): boolean {
  if (prefixLength(route.destination) === 0 || isLinkLocal(route.destination)) return false;
  return ["unicast", "local", "blackhole", "unreachable", "prohibit"].includes(route.type);
}

function isLinkLocal(destination: Prefix): boolean {
  return destination.startsWith("fe80:");
}

/** Indexes of the links a route leaves by; a route that refuses leaves by none, which is no bridge of ours. */
function waysOf(route: Route): number[] {
  return route.hops?.map((hop) => hop.link) ?? [route.link ?? 0];
}

function describe(route: Route, links: ReadonlyMap<number, string>): string {
  const kind = route.type === "unicast" ? "the route" : `the ${route.type} route`;
  const via = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  const link = route.link === undefined ? "" : ` on ${links.get(route.link) ?? route.link}`;
  return `${kind} ${route.destination}${via}${link}`;
}
