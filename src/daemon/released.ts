import { ipFamily } from "../base/ip.ts";
import { familyBits, makePrefix, type Prefix } from "../base/prefix.ts";
import type { LeaseRow } from "../state/rows.ts";
import type { World } from "./world.ts";

/** One reading of all connections, some 10 ms, serves all guests removed meanwhile. */
const gatherMs = 1000;

type Lease = Pick<LeaseRow, "network" | "address">;

/** Addresses of removed guests: nobody else's until the connections of those who had them are forgotten. */
export class Released {
  readonly #world: World;
  readonly #forget: (prefixes: Prefix[]) => void;
  readonly #leases: Lease[] = [];
  #soon: NodeJS.Timeout | undefined;

  constructor(world: World, forget: (prefixes: Prefix[]) => void) {
    this.#world = world;
    this.#forget = forget;
  }

  add(leases: readonly Lease[]): void {
    if (leases.length === 0) return;
    this.#leases.push(...leases);
    this.#soon ??= setTimeout(() => this.free(), gatherMs).unref();
  }

  /** At once, because somebody needs the addresses; false when none are waiting. */
  free(): boolean {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    // A guest of the same name may have its address again: its connections are its own.
    const leases = this.#leases.splice(0).filter((lease) => !this.#world.isHeld(lease));
    if (leases.length === 0) return false;
    this.#forget([...new Set(leases.map(({ address }) => makePrefix(address, familyBits(ipFamily(address)))))]);
    this.#world.thaw(leases);
    return true;
  }
}
