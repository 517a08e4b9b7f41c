import type { Name } from "../base/names.ts";
import type { Config } from "../spec/config.ts";
import { networkSpec } from "../spec/network.ts";
import type { Newcomer } from "./admit.ts";
import type { Networks } from "./networks.ts";

const defaultName = "default" as const;

/** `made` is the network that had to be made for this newcomer: it goes again should the newcomer be refused. */
export type Placed = { newcomer: Newcomer; made: Name | undefined };

/** A guest that names no network gets the default one, which is made from the configuration when it is first needed. */
export function withDefaultNetwork(newcomer: Newcomer, networks: Networks, config: Config): Placed {
  const named = newcomer.spec.networks;
  const wanted = named ?? [{ network: networkSpec.shape.name.parse(defaultName) }];
  const missing = wanted.some((ref) => isDefault(ref.network)) && !networks.all().some((n) => isDefault(n.name));
  const made = missing ? networks.create(defaultNetwork(config)).name : undefined;
  return { newcomer: { ...newcomer, spec: { ...newcomer.spec, networks: wanted } } as Newcomer, made };
}

export function defaultNetwork(config: Config) {
  const { bridge_name: bridge, subnet, dns_servers: dns } = config.network;
  return networkSpec.parse({ name: defaultName, bridge, subnets: [subnet], dns });
}

function isDefault(name: Name): boolean {
  return (name as string) === defaultName;
}
