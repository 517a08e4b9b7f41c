import type { Ipv6 } from "../../base/ipv6.ts";
import type { Mac } from "../../base/mac.ts";
import type { IfName, Name } from "../../base/names.ts";
import { type Prefix, prefixContains } from "../../base/prefix.ts";

/**
 * How guests come by addresses: "stateful" by DHCPv6, the one that was decided; "stateless" by making their own, with DHCPv6
 * for the rest; "slaac" by making their own, with no DHCPv6 needed.
 */
export type Addressing = "stateful" | "stateless" | "slaac";

export type RaSubnet = { prefix: Prefix; gateway: Ipv6 };

/** What the IPv6 hosts of one network are told. */
export type RaNetwork = {
  network: Name;
  bridge: IfName;
  subnets: readonly RaSubnet[];
  addressing: Addressing;
  /** Resolvers; by default the gateways. */
  dns?: readonly Ipv6[];
  domain: string;
  /** Domains to complete short names with; by default `domain` alone. */
  search?: readonly string[];
  mtuBytes: number;
  /** What lies behind this network beside the default route (RFC 4191). */
  routes?: readonly Prefix[];
  /** False for a network that leads nowhere: no host gets a default route. */
  defaultRoute?: boolean;
  /** What DHCPv6 clients see; the address stays the guest's however long it is silent. */
  leaseSeconds: number;
};

/** A host and the address that was decided for it, if any. */
export type RaGuest = {
  mac: Mac;
  address?: Ipv6;
  /** False when another interface of the guest carries the default route. */
  defaultRoute?: boolean;
};

export function resolversOf(network: RaNetwork): readonly Ipv6[] {
  return network.dns ?? network.subnets.map((subnet) => subnet.gateway);
}

export function searchOf(network: RaNetwork): readonly string[] {
  return network.search ?? (network.domain === "" ? [] : [network.domain]);
}

export function isOnLink(network: RaNetwork, address: Ipv6): boolean {
  return network.subnets.some(({ prefix }) => prefixContains(prefix, address));
}
