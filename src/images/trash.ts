import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

/** Where whole trees go to be removed: out of sight at once, off the disk while the daemon does something else. */
export class Trash {
  readonly #directory: string;

  /** `directory` must lie on the file system of what is thrown away. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Takes a file or tree away from its place; false when it was not there. `empty` removes it. */
  take(path: string): boolean {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const heap = mkdtempSync(join(this.#directory, "heap-"));
    try {
      renameSync(path, join(heap, "thing"));
      return true;
    } catch (error) {
      rmdirSync(heap);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  /** Removes what was taken, by this process or one before it. What resists stays for the next time: it is in nobody's way. */
  async empty(): Promise<void> {
    for (const name of namesIn(this.#directory)) {
      await rm(join(this.#directory, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
