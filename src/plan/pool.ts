import { NexusError, SpecError } from "../base/errors.ts";
import { type Ip, ipFamily, ipFromBigint, type IpFamily, ipToBigint } from "../base/ip.ts";
import { addressAt, type Prefix, prefixContains, prefixesOverlap, prefixFamily, prefixRange } from "../base/prefix.ts";
import { Bitmap } from "./bitmap.ts";
import { subnetProblem } from "./subnets.ts";

export type PoolSpec = {
  prefix: Prefix;
  /** Defaults to the first address. */
  gateway?: Ip | undefined;
  /** Never handed out, not even on request. */
  reserved?: readonly Prefix[] | undefined;
  /** Where guests that ask by DHCP get theirs; by default most of it. */
  dhcpRange?: { from: Ip; to: Ip } | undefined;
};

/**
 * The addresses of one subnet and who holds them. It is an index over the leases that state keeps, not their keeper.
 * Taking, releasing and finding the lowest free address cost a few microseconds, however many are held.
 */
export class Pool {
  readonly prefix: Prefix;
  readonly gateway: Ip;
  readonly reserved: readonly Prefix[];
  readonly family: IpFamily;
  /** How many addresses guests can have; a float above 2^53. */
  readonly size: number;

  /** Offsets of the addresses for guests that ask by DHCP. */
  readonly #dhcp: Range;
  readonly #first: bigint;
  readonly #last: bigint;
  /** Where automatic addresses start: IPv6 leaves the low 16 to people who number by hand. */
  readonly #start: number;
  /** Barred from handing out, ascending and apart from each other. */
  readonly #barred: readonly Range[];
  readonly #holders = new Map<Ip, string>();
  /** Given back, but connections of the last holder may still be under way: for nobody else yet. */
  readonly #cooling = new Set<Ip>();
  readonly #taken = new Bitmap();

  /** @throws SpecError when the subnet cannot serve guests, NexusError address-outside when the gateway is not one of its host addresses */
  constructor(spec: PoolSpec) {
    const problem = subnetProblem(spec.prefix);
    if (problem !== undefined) throw new SpecError([{ path: "subnets", ...problem }]);
    this.prefix = spec.prefix;
    this.family = prefixFamily(spec.prefix);
    this.gateway = spec.gateway ?? addressAt(spec.prefix, 1n);
    this.reserved = spec.reserved ?? [];
    ({ first: this.#first, last: this.#last } = prefixRange(spec.prefix));
    this.#checkGateway();
    const total = this.#last - this.#first + 1n;
    this.#start = this.family === 6 && total >= 256n ? 16 : 1;
    this.#barred = this.#barredRanges();
    this.#dhcp = this.#dhcpOffsets(spec.dhcpRange);
    this.size = Number(this.#barred.reduce((left, range) => left - (range.last - range.first + 1n), total));
  }

  /** First and last address for guests that ask by DHCP; what is barred among them is not handed out all the same. */
  get dhcpRange(): { from: Ip; to: Ip } {
    const at = (offset: bigint) => ipFromBigint(this.family, this.#first + offset);
    return { from: at(this.#dhcp.first), to: at(this.#dhcp.last) };
  }

  get leased(): number {
    return this.#holders.size - this.#cooling.size;
  }

  contains(address: Ip): boolean {
    return prefixContains(this.prefix, address);
  }

  holderOf(address: Ip): string | undefined {
    return this.#holders.get(address);
  }

  /** Why no guest may have an address of this subnet: "the gateway", "the broadcast address", ...; undefined when one may. */
  obstacle(address: Ip): string | undefined {
    if (address === this.gateway) return "the gateway";
    const value = ipToBigint(address);
    if (value === this.#first) return this.family === 4 ? "the network address" : "the subnet-router anycast address";
    if (value === this.#last && this.family === 4) return "the broadcast address";
    const range = this.reserved.find((prefix) => prefixContains(prefix, address));
    return range === undefined ? undefined : `in the reserved range ${range}`;
  }

  /** @throws NexusError address-outside or address-taken; taking what one holds already changes nothing */
  take(address: Ip, owner: string): void {
    const obstacle = this.contains(address) ? this.obstacle(address) : "outside";
    if (obstacle !== undefined) throw new NexusError("address-outside", `${address} cannot be leased: it is ${obstacle} of ${this.prefix}`);
    const holder = this.#holders.get(address);
    if (holder === owner) return void this.#cooling.delete(address);
    if (holder !== undefined) throw new NexusError("address-taken", `${address} is leased to ${holder}`, { details: { address, holder } });
    this.#holders.set(address, owner);
    this.#taken.add(ipToBigint(address) - this.#first);
  }

  /** Its holder is gone; nobody else gets it before `release`, but the same owner may have it back. */
  cool(address: Ip): void {
    if (this.#holders.has(address)) this.#cooling.add(address);
  }

  isCooling(address: Ip): boolean {
    return this.#cooling.has(address);
  }

  /** False when nobody held it. */
  release(address: Ip): boolean {
    this.#cooling.delete(address);
    if (!this.#holders.delete(address)) return false;
    this.#taken.delete(ipToBigint(address) - this.#first);
    return true;
  }

  /** The lowest address that may be handed out now, of all or of those for DHCP; undefined when none is left. */
  lowestFree(part: "any" | "dhcp" = "any"): Ip | undefined {
    const end = part === "any" ? this.#last - this.#first : this.#dhcp.last;
    let at = this.#taken.nextFree(part === "any" ? BigInt(this.#start) : this.#dhcp.first);
    for (const range of this.#barred) {
      if (at < range.first) break;
      if (at <= range.last) at = this.#taken.nextFree(range.last + 1n);
    }
    return at > end ? undefined : ipFromBigint(this.family, this.#first + at);
  }

  /** The ends of a subnet are often numbered by hand: .1 to .9 and .251 to .254 of a /24 are left to that. */
  #dhcpOffsets(range: PoolSpec["dhcpRange"]): Range {
    const end = this.#last - this.#first;
    if (range === undefined)
      return this.family === 4 && end >= 255n ? { first: 10n, last: end - 5n } : { first: BigInt(this.#start), last: end };
    for (const address of [range.from, range.to])
      if (!this.contains(address))
        throw new NexusError("address-outside", `${address} of the DHCP range is outside ${this.prefix}`, {
          hint: "leave the range out, or name addresses of the subnet",
        });
    return { first: ipToBigint(range.from) - this.#first, last: ipToBigint(range.to) - this.#first };
  }

  #checkGateway(): void {
    const at = ipToBigint(this.gateway);
    const where =
      ipFamily(this.gateway) !== this.family || at < this.#first || at > this.#last
        ? "outside"
        : at === this.#first
          ? "the network address of"
          : at === this.#last && this.family === 4
            ? "the broadcast address of"
            : undefined;
    if (where === undefined) return;
    throw new NexusError("address-outside", `the gateway ${this.gateway} is ${where} ${this.prefix}`, {
      hint: `${addressAt(this.prefix, 1n)} would do`,
    });
  }

  #barredRanges(): Range[] {
    const gateway = ipToBigint(this.gateway) - this.#first;
    const end = this.#last - this.#first;
    const ranges: Range[] = [
      { first: 0n, last: 0n },
      { first: gateway, last: gateway },
    ];
    if (this.family === 4) ranges.push({ first: end, last: end });
    for (const prefix of this.reserved) {
      if (!prefixesOverlap(prefix, this.prefix)) continue;
      const { first, last } = prefixRange(prefix);
      ranges.push({ first: first > this.#first ? first - this.#first : 0n, last: last < this.#last ? last - this.#first : end });
    }
    return mergeRanges(ranges);
  }
}

/** Offsets from the network address, both ends included. */
type Range = { first: bigint; last: bigint };

function mergeRanges(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = merged.at(-1);
    if (before === undefined || range.first > before.last + 1n) merged.push({ ...range });
    else if (range.last > before.last) before.last = range.last;
  }
  return merged;
}
