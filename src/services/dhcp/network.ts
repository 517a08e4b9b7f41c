import type { Ipv4 } from "../../base/ipv4.ts";
import type { Mac } from "../../base/mac.ts";
import type { IfName, Name } from "../../base/names.ts";
import { type Prefix, prefixContains } from "../../base/prefix.ts";
import type { ClasslessRoute } from "../../wire/dhcp/classless-routes.ts";

export type DhcpSubnet = { prefix: Prefix; gateway: Ipv4 };

/** What the clients of one network are told. */
export type DhcpNetwork = {
  network: Name;
  bridge: IfName;
  subnets: readonly DhcpSubnet[];
  /** Resolvers; by default the gateway of the guest's subnet. */
  dns?: readonly Ipv4[];
  domain: string;
  /** Domains to complete short names with; by default `domain` alone. */
  search?: readonly string[];
  mtuBytes: number;
  /** Routes beside the default route. */
  routes?: readonly ClasslessRoute[];
  /** False for a network that leads nowhere: no client gets a default route. */
  defaultRoute?: boolean;
  /** What clients see; the address stays the guest's however long it is silent. */
  leaseSeconds: number;
};

/** A client and the address that was decided for it. */
export type DhcpGuest = {
  mac: Mac;
  address: Ipv4;
  hostname: string;
  /** False when another interface of the guest carries the default route. */
  defaultRoute?: boolean;
};

export function subnetOf(network: DhcpNetwork, address: Ipv4): DhcpSubnet | undefined {
  return network.subnets.find(({ prefix }) => prefixContains(prefix, address));
}
