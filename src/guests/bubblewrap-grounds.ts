import { statSync } from "node:fs";
import { join } from "node:path";
import { type Ground, prepare } from "./bubblewrap-prepare.ts";
import { makeStage } from "./bubblewrap-stage.ts";
import { PreparedStock } from "./bubblewrap-stock.ts";
import { directoryRoot, hostPrograms, type RootEntry } from "./sandbox-root.ts";

/** What sandboxes with one root file system are made from, and where the next one is taken from. */
export type Footing = { ground: Ground; stock: Pick<PreparedStock, "take"> };

type Made = Footing & { key: string; users: number; end: () => Promise<void> };

/** Footings by root directory: one is kept ready; any other is made for one start, and ends with it. */
export class Grounds implements AsyncDisposable {
  readonly #common: Omit<Ground, "stage">;
  readonly #host: () => readonly RootEntry[];
  #followed: string | undefined;
  #kept: Made | undefined;
  readonly #leaving = new Set<Promise<void>>();

  /** `host`: what commands see that have no root directory of their own. */
  constructor(common: Omit<Ground, "stage">, host: () => readonly RootEntry[]) {
    this.#common = common;
    this.#host = host;
  }

  /** Sandboxes are made ahead for this root directory from now on, and for no other. */
  follow(root: string | undefined): void {
    this.#followed = root;
    if (this.#kept !== undefined && this.#kept.key !== keyOf(root)) this.#letGo();
  }

  /** @throws as `makeStage` and `directoryRoot`, and what `work` throws */
  async on<T>(root: string | undefined, work: (footing: Footing) => Promise<T>): Promise<T> {
    const made = this.#take(root);
    made.users++;
    try {
      return await work(made);
    } finally {
      made.users--;
      this.#endUnused(made);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo();
    await Promise.all(this.#leaving);
  }

  #take(root: string | undefined): Made {
    const key = keyOf(root);
    if (this.#kept?.key === key) return this.#kept;
    const entries = root === undefined ? this.#host() : directoryRoot(root);
    const ground: Ground = { ...this.#common, stage: makeStage(hostPrograms(), entries) };
    if (root !== this.#followed) return madeOf(key, ground, { take: (wanted) => prepare(ground, wanted) });
    this.#letGo();
    const stock = new PreparedStock(ground);
    return (this.#kept = madeOf(key, ground, stock, () => stock[Symbol.asyncDispose]()));
  }

  #letGo(): void {
    const old = this.#kept;
    this.#kept = undefined;
    if (old !== undefined) this.#endUnused(old);
  }

  #endUnused(made: Made): void {
    if (made.users > 0 || made === this.#kept) return;
    const leaving = made.end().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}

function madeOf(key: string, ground: Ground, stock: Footing["stock"], endStock?: () => Promise<void>): Made {
  return {
    key,
    ground,
    stock,
    users: 0,
    async end() {
      await endStock?.();
      ground.stage[Symbol.dispose]();
    },
  };
}

/** Another one when what is at its top, or in its /etc, was put there or taken away: a stage shows what was there when it was made. */
function keyOf(root: string | undefined): string {
  if (root === undefined) return "host";
  const stamps = [root, join(root, "etc")].map((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? "" : `${stat.dev}:${stat.ino}:${stat.mtimeMs}`;
  });
  return [root, ...stamps].join(" ");
}
