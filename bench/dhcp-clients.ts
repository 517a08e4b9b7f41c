import { addressAt, makePrefix } from "../src/base/prefix.ts";
import type { Ipv4 } from "../src/base/ipv4.ts";
import { ipFromBytes } from "../src/base/ip.ts";
import { type Mac, macFromBytes } from "../src/base/mac.ts";
import { type IfName, isFault, type Name, parseIfName, parseName } from "../src/base/names.ts";
import { type Ruleset, ruleset } from "../src/plan/firewall/ruleset.ts";
import type { NetworkRecord } from "../src/plan/records.ts";
import { networkSpec } from "../src/spec/network.ts";

/** The network the storm is on, and its clients: known to the servers before, as guests are. */
export const bridge = "nexus0";
/** Behind which all of them are. */
export const port = "v-clients";
export const subnet = makePrefix(ipFromBytes(Uint8Array.of(10, 64, 0, 0)), 16);
export const gateway = addressAt(subnet, 1n) as Ipv4;

export type BenchClient = { mac: Mac; address: Ipv4; hostname: string };

export function benchClients(count: number): BenchClient[] {
  return Array.from({ length: count }, (_, i) => ({
    mac: macFromBytes(Uint8Array.of(2, 0x64, 0, 0, i >>> 8, i & 255)),
    address: addressAt(subnet, BigInt(i + 256)) as Ipv4,
    hostname: `guest-${i}`,
  }));
}

/** The daemon's rules for a network with each client as a guest. */
export function clientsRuleset(clients: readonly BenchClient[]): Ruleset {
  const name = parseName("lan");
  if (isFault(name)) throw new Error(name.fault);
  const network: NetworkRecord = {
    name,
    index: 1,
    bridge: parseIfName(bridge) as IfName,
    mac: macFromBytes(Uint8Array.of(2, 0, 0, 0, 0, 1)),
    subnets: [{ prefix: subnet, gateway }],
    spec: networkSpec.parse({ name }),
  };
  const attachments = clients.map(({ mac, address, hostname }) => ({
    guest: hostname as Name,
    nic: 0,
    network: name,
    hostInterface: parseIfName(port) as IfName,
    mac,
    addresses: [address],
    end: { kind: "tap", queues: 1 } as const,
  }));
  return ruleset({ instance: "bench", networks: [network], attachments, publishes: [], pins: [] });
}
