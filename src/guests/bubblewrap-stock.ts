import { type Ground, prepare, type Prepared, type Wanted } from "./bubblewrap-prepare.ts";

/** Each costs a megabyte while it waits. */
const stockSize = 2;
/** Not while somebody still waits for what used one up. */
const pauseMs = 20;

/**
 * Sandboxes made ahead. What takes long is done by then: starting a program from a large process, bubblewrap's own work, and above
 * all moving into a cgroup, for which the kernel waits until every processor has been through it, some ten milliseconds.
 */
export class PreparedStock implements AsyncDisposable {
  readonly #ground: Ground;
  readonly #ready: Prepared[] = [];
  #coming: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** One as wanted, the caller's from then on. @throws as `prepare` */
  async take(wanted: Wanted): Promise<Prepared> {
    if (wanted.network !== "own" || wanted.terminal !== undefined || wanted.as !== undefined) return await prepare(this.#ground, wanted);
    if (this.#ready.length === 0) await this.#coming;
    for (let taken = this.#ready.shift(); taken !== undefined; taken = this.#ready.shift()) {
      this.#fillSoon();
      if (!taken.init.hasExited()) return taken;
      await taken[Symbol.asyncDispose]();
    }
    this.#fillSoon();
    return await prepare(this.#ground, wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#coming;
    await Promise.all(this.#ready.splice(0).map((one) => one[Symbol.asyncDispose]()));
  }

  #fillSoon(): void {
    if (this.#closed || this.#coming !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#coming = this.#fill().finally(() => (this.#coming = undefined));
    }, pauseMs);
    this.#timer.unref();
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#ready.length < stockSize) {
      try {
        this.#ready.push(await prepare(this.#ground, { network: "own" }));
      } catch {
        // Whoever needs one next makes it, and is told why that fails.
        return;
      }
    }
  }
}
