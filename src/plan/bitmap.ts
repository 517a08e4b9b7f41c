/** Numbers below this live in bits; a few beyond, which only requests for odd IPv6 addresses make, in a set. */
const denseEnd = 2 ** 24;

/** A set of non-negative integers, mostly small, that finds its lowest absent member fast: 32 members are skipped at a time. */
export class Bitmap {
  #words = new Uint32Array(8);
  readonly #sparse = new Set<bigint>();

  add(value: bigint): void {
    if (value >= denseEnd) {
      this.#sparse.add(value);
      return;
    }
    const at = Number(value);
    const word = at >>> 5;
    if (word >= this.#words.length) this.#grow(word + 1);
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (at & 31));
  }

  delete(value: bigint): void {
    if (value >= denseEnd) {
      this.#sparse.delete(value);
      return;
    }
    const at = Number(value);
    const word = at >>> 5;
    if (word < this.#words.length) this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (at & 31));
  }

  /** The lowest absent number that is not below `from`. */
  nextFree(from: bigint): bigint {
    if (from < denseEnd) {
      const at = this.#nextDense(Number(from));
      if (at < denseEnd) return BigInt(at);
      from = BigInt(denseEnd);
    }
    let value = from;
    while (this.#sparse.has(value)) value++;
    return value;
  }

  #nextDense(from: number): number {
    const words = this.#words;
    let word = from >>> 5;
    // Bits below `from` count as present.
    let present = (words[word] ?? 0) | ~(-1 << (from & 31));
    while (present >>> 0 === 0xffffffff) present = words[++word] ?? 0;
    return word * 32 + (31 - Math.clz32(~present & -~present));
  }

  #grow(words: number): void {
    const wider = new Uint32Array(Math.max(words, this.#words.length * 2));
    wider.set(this.#words);
    this.#words = wider;
  }
}
