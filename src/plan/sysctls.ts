import type { IfName } from "../base/names.ts";
import type { NetworkRecord } from "./records.ts";

export type SysctlWish = {
  path: readonly string[];
  value: string;
  /** Of the whole host: remembered before the change and put back when the last network goes. */ global: boolean;
};

/** Settings the host must have for these networks; none without networks. */
export function hostSysctls(networks: readonly NetworkRecord[], routerAdvertLinks: readonly IfName[]): SysctlWish[] {
  if (networks.length === 0) return [];
  const wishes: SysctlWish[] = [{ path: ["net", "ipv4", "ip_forward"], value: "1", global: true }];
  if (networks.some((n) => hasIpv6(n))) {
    // Turning forwarding on makes the kernel drop default routes learned from advertisements, unless accept_ra is 2.
    for (const link of routerAdvertLinks) wishes.push({ path: ["net", "ipv6", "conf", link, "accept_ra"], value: "2", global: true });
    wishes.push({ path: ["net", "ipv6", "conf", "all", "forwarding"], value: "1", global: true });
  }
  return wishes;
}

/** Settings of one bridge; they vanish with it. */
export function bridgeSysctls(network: NetworkRecord): SysctlWish[] {
  const v4 = (key: string, value: string): SysctlWish => ({ path: ["net", "ipv4", "conf", network.bridge, key], value, global: false });
  const v6 = (key: string, value: string): SysctlWish => ({ path: ["net", "ipv6", "conf", network.bridge, key], value, global: false });
  return [
    // 127.0.0.1 publishes lead host connections from loopback addresses to the bridge; the guard chain keeps guests out of 127/8.
    v4("route_localnet", "1"),
    // Loose: with several networks the strict test drops answers to published ports.
    v4("rp_filter", "2"),
    ...(hasIpv6(network) ? [v6("disable_ipv6", "0"), v6("accept_ra", "0"), v6("accept_dad", "0")] : [v6("disable_ipv6", "1")]),
  ];
}

export function hasIpv6(network: NetworkRecord): boolean {
  return network.subnets.some((s) => s.prefix.includes(":"));
}
