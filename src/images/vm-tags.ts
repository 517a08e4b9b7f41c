import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import { writeWhole } from "./write-file.ts";

/** What a name was found to mean, and when. */
export type VmTag = { name: string; key: string; at: string };

/** Which disk each reference means, a small file for each. */
export class VmTags {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get(name: string): VmTag | undefined {
    return readTag(this.#file(name));
  }

  all(): VmTag[] {
    if (!existsSync(this.#directory)) return [];
    const files = readdirSync(this.#directory).filter((file) => file.endsWith(".json"));
    return files.flatMap((file) => readTag(join(this.#directory, file)) ?? []).toSorted((a, b) => a.name.localeCompare(b.name));
  }

  set(name: string, key: string): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeWhole(this.#file(name), JSON.stringify({ name, key, at: new Date().toISOString() } satisfies VmTag));
  }

  remove(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /** A URL may be longer than the name of a file. */
  #file(name: string): string {
    return join(this.#directory, `${createHash("sha256").update(name).digest("hex").slice(0, 32)}.json`);
  }
}

function readTag(file: string): VmTag | undefined {
  try {
    const { name, key, at } = JSON.parse(readFileSync(file, "utf8")) as Partial<VmTag>;
    return typeof name === "string" && typeof key === "string" && typeof at === "string" ? { name, key, at } : undefined;
  } catch (error) {
    // Absent or damaged means that the image is to be fetched anew; anything else must not make an image look unneeded.
    if (isHostShort(error)) throw systemRefusal(error, `read ${file}`) ?? error;
    return undefined;
  }
}
