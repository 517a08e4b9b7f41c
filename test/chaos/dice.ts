/** Chance that can be had again: the same seed gives the same throws (mulberry32). */
export class Dice {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** One of them; undefined of none. */
  one<T>(of: readonly T[]): T | undefined {
    return of[this.below(of.length)];
  }

  /** Up to `most` of them, none twice. */
  some<T>(of: readonly T[], most: number): T[] {
    const left = [...of];
    const taken: T[] = [];
    for (let n = this.below(most + 1); n > 0 && left.length > 0; n--) taken.push(...left.splice(this.below(left.length), 1));
    return taken;
  }
}
