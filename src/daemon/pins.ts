import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Port } from "../base/port.ts";
import { type PinChange, pinSlackMs } from "../plan/firewall/pins.ts";
import type { PinRecord } from "../plan/records.ts";

/** What one name gives: an address on a port, for a guest's own address. */
export type Claim = { source: Ip; address: Ip; port: Port };

/** `lifeMs` from now; one that still has `enoughMs` is left as it is. */
export type Span = { lifeMs: number; enoughMs: number };

/** `names` with the end of each one's time, `endMs` the kernel's for the element; both monotonic. */
type Pin = Claim & { names: Map<string, number>; endMs: number };

/** How many pins one address of a guest may have; more names are refused until some have ended. */
const mostPins = 4096;
/** Names remembered for one address; that of the earliest end goes first. */
const mostNames = 16;

/** The addresses that guests may reach by the names they asked for, as the kernel should have them. */
export class Pins {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #bySource = new Map<Ip, Map<string, Pin>>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** What is to change in the kernel so that a name's addresses can be reached; undefined when a guest has too many. */
  claim(name: string, claims: readonly Claim[], { lifeMs, enoughMs }: Span): PinChange[] | undefined {
    const now = this.#clock.monotonic();
    for (const [source, own] of Map.groupBy(claims, (claim) => claim.source)) {
      const pins = this.#pinsOf(source);
      if (pins.size + own.filter((claim) => !pins.has(keyOf(claim))).length > mostPins) return undefined;
    }
    const changes: PinChange[] = [];
    for (const claim of claims) {
      const pins = this.#pinsOf(claim.source);
      const key = keyOf(claim);
      const pin = pins.get(key);
      if (pin !== undefined && Math.min(pin.endMs, pin.names.get(name) ?? 0) >= now + enoughMs) continue;
      const was = pin === undefined ? undefined : this.#record(pin, now);
      const names = new Map([...(pin?.names ?? []), [name, now + lifeMs] as const].filter(([, end]) => end > now));
      while (names.size > mostNames) names.delete(earliest(names));
      const next: Pin = { ...claim, names, endMs: Math.max(...names.values()) };
      pins.set(key, next);
      changes.push({ was, now: this.#record(next, now) });
    }
    return changes;
  }

  /** Forgets what could not be put into the kernel. */
  abandon(changes: readonly PinChange[]): void {
    for (const { now } of changes) if (now !== undefined) this.#bySource.get(now.source)?.delete(keyOf(now));
  }

  /** Keeps the names a pin may have by the policy of now; a pin without any goes. */
  keep(allowed: (pin: Claim, name: string) => boolean): PinChange[] {
    const now = this.#clock.monotonic();
    const changes: PinChange[] = [];
    for (const [source, pins] of this.#bySource) {
      for (const [key, pin] of pins) {
        const names = new Map([...pin.names].filter(([name, end]) => end > now && allowed(pin, name)));
        if (names.size === pin.names.size) continue;
        const was = this.#record(pin, now);
        const next = names.size === 0 ? undefined : { ...pin, names, endMs: Math.max(...names.values()) };
        if (next === undefined) pins.delete(key);
        else pins.set(key, next);
        if (was !== undefined) changes.push({ was, now: next === undefined ? undefined : this.#record(next, now) });
      }
      if (pins.size === 0) this.#bySource.delete(source);
    }
    return changes;
  }

  /** All of one guest's, whose addresses may become another's. */
  release(sources: readonly Ip[]): PinChange[] {
    return sources.flatMap((source) => {
      const pins = this.of(source);
      this.#bySource.delete(source);
      return pins.map((was) => ({ was, now: undefined }));
    });
  }

  /** What a daemon before this one left in the kernel. Without a name it is nobody's pin. */
  load(records: readonly PinRecord[]): void {
    const now = this.#clock.monotonic();
    for (const { source, address, port, names, leftMs } of records) {
      if (names.length === 0) continue;
      const endMs = now + leftMs;
      const pins = this.#bySource.get(source) ?? new Map<string, Pin>();
      this.#bySource.set(source, pins);
      pins.set(keyOf({ address, port }), { source, address, port, names: new Map(names.map((name) => [name, endMs])), endMs });
    }
  }

  all(): PinRecord[] {
    return [...this.#bySource.keys()].flatMap((source) => this.of(source));
  }

  of(source: Ip): PinRecord[] {
    const now = this.#clock.monotonic();
    return [...(this.#bySource.get(source)?.values() ?? [])].flatMap((pin) => this.#record(pin, now) ?? []);
  }

  /** Without those that ended, when there are many. */
  #pinsOf(source: Ip): Map<string, Pin> {
    const pins = this.#bySource.get(source) ?? new Map<string, Pin>();
    this.#bySource.set(source, pins);
    const gone = this.#clock.monotonic() - pinSlackMs;
    if (pins.size >= mostPins) for (const [key, { endMs }] of pins) if (endMs < gone) pins.delete(key);
    return pins;
  }

  /** Undefined when the kernel has it no more, beyond doubt. */
  #record({ source, address, port, names, endMs }: Pin, now: number): PinRecord | undefined {
    const leftMs = endMs - now;
    if (leftMs < -pinSlackMs) return undefined;
    return { source, address, port, names: [...names.keys()], leftMs: Math.max(leftMs, 0) };
  }
}

function keyOf({ address, port }: Pick<Claim, "address" | "port">): string {
  return `${address} ${port}`;
}

function earliest(names: ReadonlyMap<string, number>): string {
  return [...names].reduce((first, one) => (one[1] < first[1] ? one : first))[0];
}
