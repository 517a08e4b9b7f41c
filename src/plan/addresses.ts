import { NexusError } from "../base/errors.ts";
import { type Ip, type IpFamily, ipFamily } from "../base/ip.ts";
import type { Prefix } from "../base/prefix.ts";
import type { Pool } from "./pool.ts";

/** Who asks for an address, and how. `network` is only for the words of errors. */
export type AddressWish = {
  network: string;
  /** The guest and NIC, as leases record them. The same owner asking again gets the address it holds. */
  owner: string;
  family: IpFamily;
  /** An address the user named; nothing else will do. */
  request?: Ip | undefined;
  /** What this owner held before; taken when still free. */
  remembered?: Ip | undefined;
  /** Which addresses are for the likes of it when it asks for none: all of them unless said. */
  part?: "any" | "dhcp";
};

/**
 * Leases an address: the requested one, else the remembered one, else the lowest free one of the first pool with room.
 * The pool records it; give it back with `pool.release` when the lease could not be kept.
 * @throws NexusError address-outside, address-taken (naming the holder) or pool-exhausted (naming every pool and how full it is)
 */
export function allocate(pools: readonly Pool[], wish: AddressWish): Ip {
  if (wish.request !== undefined) return takeRequested(pools, wish, wish.request);
  const usable = pools.filter((pool) => pool.family === wish.family);
  if (wish.remembered !== undefined) {
    const pool = usable.find((candidate) => candidate.contains(wish.remembered as Ip));
    const holder = pool?.holderOf(wish.remembered);
    if (pool !== undefined && pool.obstacle(wish.remembered) === undefined && (holder === undefined || holder === wish.owner)) {
      pool.take(wish.remembered, wish.owner);
      return wish.remembered;
    }
  }
  for (const pool of usable) {
    const address = pool.lowestFree(wish.part);
    if (address === undefined) continue;
    pool.take(address, wish.owner);
    return address;
  }
  throw exhausted(usable, wish);
}

function takeRequested(pools: readonly Pool[], wish: AddressWish, address: Ip): Ip {
  const pool = pools.find((candidate) => candidate.contains(address));
  if (pool === undefined) throw outside(pools, wish, address);
  const obstacle = pool.obstacle(address);
  if (obstacle !== undefined) {
    throw new NexusError("address-outside", `${address} is ${obstacle} of ${pool.prefix} in network ${wish.network}`, {
      hint: hintFree(pool),
      details: { address, network: wish.network, prefix: pool.prefix },
    });
  }
  const holder = pool.holderOf(address);
  if (holder !== undefined && holder !== wish.owner) {
    throw new NexusError("address-taken", `${address} in network ${wish.network} is leased to ${holder}`, {
      hint: hintFree(pool),
      details: { address, network: wish.network, holder },
    });
  }
  pool.take(address, wish.owner);
  return address;
}

function outside(pools: readonly Pool[], wish: AddressWish, address: Ip): NexusError {
  const family = ipFamily(address);
  const prefixes = pools.filter((pool) => pool.family === family).map((pool) => pool.prefix);
  const have = prefixes.length === 0 ? `has no IPv${family} subnet` : `has ${prefixes.join(", ")}`;
  return new NexusError("address-outside", `${address} is outside network ${wish.network}, which ${have}`, {
    hint: "leave the address out to get a free one",
    details: { address, network: wish.network, prefixes },
  });
}

function exhausted(pools: readonly Pool[], wish: AddressWish): NexusError {
  const full = pools.map((pool) => `${pool.prefix} has ${pool.leased} of ${pool.size} addresses leased`);
  const ranges = pools.map(
    (pool) => `all of ${pool.dhcpRange.from} to ${pool.dhcpRange.to} is taken, the range for DHCP in ${pool.prefix}`,
  );
  // What lies beside the range may be free still: it has to be asked for.
  const beside = wish.part === "dhcp" && pools.some((pool) => pool.lowestFree() !== undefined);
  const why = full.length === 0 ? `it has no IPv${wish.family} subnet` : (beside ? ranges : full).join(", ");
  return new NexusError("pool-exhausted", `no IPv${wish.family} address is free in network ${wish.network}: ${why}`, {
    hint: beside
      ? "ask for an address beside that range, remove guests that are not needed, or use a network with a larger one"
      : "remove guests that are not needed, or use a network with a larger subnet",
    details: { network: wish.network, pools: pools.map(describe) },
  });
}

function describe(pool: Pool): { prefix: Prefix; leased: number; size: number; dhcpRange: { from: Ip; to: Ip } } {
  return { prefix: pool.prefix, leased: pool.leased, size: pool.size, dhcpRange: pool.dhcpRange };
}

function hintFree(pool: Pool): string {
  const free = pool.lowestFree();
  return free === undefined ? "the subnet has no free address" : `${free} is free`;
}
