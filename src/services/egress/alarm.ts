/** One deadline at a time. `rang` says whether it was ever reached. */
export class Alarm implements Disposable {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;
  rang = false;

  constructor(ms: number, ring: () => void) {
    this.#ring = ring;
    this.set(ms);
  }

  set(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.rang = true;
      this.#ring();
    }, ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
