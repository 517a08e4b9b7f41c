import { addressAt, makePrefix } from "../src/base/prefix.ts";
import type { Ipv4 } from "../src/base/ipv4.ts";
import { ipFromBytes } from "../src/base/ip.ts";
import { type Mac, macFromBytes } from "../src/base/mac.ts";

/** The network the storm is on, and its clients: known to the servers before, as guests are. */
export const bridge = "nexus0";
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
