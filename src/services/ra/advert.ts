import { prefixLength } from "../../base/prefix.ts";
import type { Mac } from "../../base/mac.ts";
import type { NeighbourOption } from "../../wire/icmpv6/options.ts";
import type { RouterAdvert } from "../../wire/icmpv6/router.ts";
import { type RaGuest, type RaNetwork, resolversOf, searchOf } from "./network.ts";

/** What a guest is told of its network. `final` takes back what would send packets to a router that goes (RFC 4861 §6.2.5). */
export function advertFor(network: RaNetwork, guest: RaGuest, { mac, final }: { mac: Mac; final: boolean }): RouterAdvert {
  const isDefault = network.defaultRoute !== false && guest.defaultRoute !== false;
  const lifetimeSeconds = final ? 0 : routerLifetimeSeconds;
  return {
    hopLimit: 64,
    managed: network.addressing === "stateful",
    other: network.addressing !== "slaac",
    lifetimeSeconds: isDefault ? lifetimeSeconds : 0,
    reachableMs: 0,
    retransmitMs: 0,
    options: [
      { kind: "source-mac", mac },
      { kind: "mtu", mtuBytes: network.mtuBytes },
      ...network.subnets.map(({ prefix }) => prefixOption(network, prefix)),
      ...(network.routes ?? []).map((prefix): NeighbourOption => ({ kind: "route", prefix, lifetimeSeconds })),
      ...resolverOptions(network, lifetimeSeconds),
    ],
  };
}

/**
 * Milliseconds until the next unsolicited advertisement after so many: the first three come soon, for hosts that were there
 * before us, the rest at random so that routers do not fall into step (RFC 4861 §6.2.4). `random` is within 0-1.
 */
export function advertPauseMs(sent: number, random: number): number {
  if (sent < initialAdverts) return 1000 + random * (maxInitialPauseMs - 1000);
  return minPauseMs + random * (maxPauseMs - minPauseMs);
}

function prefixOption(network: RaNetwork, prefix: RaNetwork["subnets"][number]["prefix"]): NeighbourOption {
  return {
    kind: "prefix",
    prefix,
    onLink: true,
    // Only a /64 leaves room for the address a host makes (RFC 4862 §5.5.3).
    autonomous: network.addressing !== "stateful" && prefixLength(prefix) === 64,
    validSeconds: 30 * 86400,
    preferredSeconds: 7 * 86400,
  };
}

function resolverOptions(network: RaNetwork, lifetimeSeconds: number): NeighbourOption[] {
  const servers = resolversOf(network);
  const domains = searchOf(network);
  const out: NeighbourOption[] = [];
  if (servers.length > 0) out.push({ kind: "dns-servers", servers, lifetimeSeconds });
  if (domains.length > 0) out.push({ kind: "dns-search", domains, lifetimeSeconds });
  return out;
}

/** RFC 4861 §10 and §6.2.1; RFC 8106 §5.1 wants three of the longest pauses for resolvers too. */
const initialAdverts = 3;
const maxInitialPauseMs = 16_000;
const minPauseMs = 200_000;
const maxPauseMs = 600_000;
const routerLifetimeSeconds = (3 * maxPauseMs) / 1000;
