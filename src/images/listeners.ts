/** What several callers of the same work want to hear of it. Who comes later hears the last line at once. */
export class Listeners {
  readonly #byKey = new Map<string, { all: Set<(line: string) => void>; last: string | undefined }>();

  /** Until it is disposed. */
  add(key: string, listener: (line: string) => void): Disposable {
    const here = this.#byKey.get(key) ?? { all: new Set(), last: undefined };
    this.#byKey.set(key, here);
    here.all.add(listener);
    if (here.last !== undefined) listener(here.last);
    return {
      [Symbol.dispose]: () => {
        here.all.delete(listener);
        if (here.all.size === 0 && this.#byKey.get(key) === here) this.#byKey.delete(key);
      },
    };
  }

  tell(key: string, line: string): void {
    const here = this.#byKey.get(key);
    if (here === undefined) return;
    here.last = line;
    for (const listener of here.all) listener(line);
  }
}
