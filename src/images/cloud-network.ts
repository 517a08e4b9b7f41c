import { isIpv4 } from "../base/ip.ts";
import { prefixLength } from "../base/prefix.ts";
import type { CloudNic, CloudRoute } from "./cloud-init.ts";

/** cloud-init's "Networking config version 2". */
export function networkConfig(nics: readonly CloudNic[]): Record<string, unknown> {
  return { version: 2, ethernets: Object.fromEntries(nics.map((nic) => [nic.name, ethernet(nic)])) };
}

function ethernet(nic: CloudNic): Record<string, unknown> {
  const { addresses = [], nameservers = [], searchDomains = [] } = nic;
  const { gateways, routes } = splitRoutes(nic.routes ?? []);
  const resolver = {
    ...(nameservers.length === 0 ? {} : { addresses: [...nameservers] }),
    ...(searchDomains.length === 0 ? {} : { search: [...searchDomains] }),
  };
  return {
    match: { macaddress: nic.mac },
    "set-name": nic.name,
    dhcp4: nic.dhcp4,
    dhcp6: nic.dhcp6,
    ...(nic.acceptRa === undefined ? {} : { "accept-ra": nic.acceptRa }),
    ...(nic.mtuBytes === undefined ? {} : { mtu: nic.mtuBytes }),
    ...(addresses.length === 0 ? {} : { addresses: [...addresses] }),
    ...gateways,
    ...(routes.length === 0 ? {} : { routes }),
    ...(Object.keys(resolver).length === 0 ? {} : { nameservers: resolver }),
  };
}

/**
 * Plain default routes as gateways: cloud-init before version 23 does not know "default", and takes ::/0 for ::/64 where it does not
 * hand the text on to netplan.
 */
function splitRoutes(all: readonly CloudRoute[]): {
  gateways: { gateway4?: string; gateway6?: string };
  routes: Record<string, unknown>[];
} {
  const gateways: { gateway4?: string; gateway6?: string } = {};
  const routes: Record<string, unknown>[] = [];
  for (const { to, via, metric } of all) {
    const key = isIpv4(via) ? "gateway4" : "gateway6";
    if (prefixLength(to) === 0 && metric === undefined && gateways[key] === undefined) gateways[key] = via;
    else routes.push({ to, via, ...(metric === undefined ? {} : { metric }) });
  }
  return { gateways, routes };
}
