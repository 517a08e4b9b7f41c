import { existsSync, rmSync, writeFileSync } from "node:fs";

/** Enough for the log pages of some hundred removals. */
const reserveBytes = 4 * 1024 * 1024;

/** Room on the disk kept for letting go: when guests have filled it, removing them must still be possible to write down. */
export class Reserve {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
    this.keep();
  }

  /** Takes the room again once there is enough; without it everything else works as before. */
  keep(): void {
    if (existsSync(this.#file)) return;
    try {
      writeFileSync(this.#file, Buffer.alloc(reserveBytes, 1), { mode: 0o600 });
    } catch {
      rmSync(this.#file, { force: true });
    }
  }

  /** Gives the room back to the disk; false when that was done already. */
  free(): boolean {
    if (!existsSync(this.#file)) return false;
    rmSync(this.#file, { force: true });
    return true;
  }
}
