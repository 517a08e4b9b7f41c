import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Which guest uses which image, a small file for each guest: what is held is not removed below its feet. */
export class Holds {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Repeatable; a guest holds one image. */
  hold(key: string, guestId: string): void {
    mkdirSync(this.#directory, { recursive: true });
    writeFileSync(join(this.#directory, `${guestId}.new`), key);
    renameSync(join(this.#directory, `${guestId}.new`), join(this.#directory, guestId));
  }

  release(guestId: string): void {
    rmSync(join(this.#directory, guestId), { force: true });
  }

  usersOf(key: string): string[] {
    return this.#guests().filter((guest) => this.#heldBy(guest) === key);
  }

  /** Keys of all that is held. */
  keys(): string[] {
    return this.#guests().flatMap((guest) => this.#heldBy(guest) ?? []);
  }

  #guests(): string[] {
    return existsSync(this.#directory)
      ? readdirSync(this.#directory)
          .filter((guest) => !guest.endsWith(".new"))
          .toSorted()
      : [];
  }

  #heldBy(guest: string): string | undefined {
    try {
      return readFileSync(join(this.#directory, guest), "utf8");
    } catch (error) {
      // Another process may have released it since it was listed.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }
}
