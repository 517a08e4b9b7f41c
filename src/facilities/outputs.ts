import { mkdirSync, readdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { constants } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../guests/remove-tree.ts";

/** Where an output went that was too long to be kept elsewhere. */
export type OverflowSummary = { path: string; writtenBytes: number; /** Past the limit, and gone. */ lostBytes: number };

/**
 * An output of a run in a file of the daemon's, where no sandbox can write: bytes as they came, up to a limit; the rest is counted. The
 * file is made with the first byte. Pieces are written in order.
 */
export class OverflowFile implements AsyncDisposable {
  readonly #path: string;
  readonly #limit: number;
  #file: Promise<FileHandle> | undefined;
  #tail: Promise<void> = Promise.resolve();
  #written = 0;
  #lost = 0;

  constructor(path: string, limitBytes: number) {
    this.#path = path;
    this.#limit = limitBytes;
  }

  /** Resolves when it is written: wait for it, and whoever writes too fast waits as well. @throws Error of the disk; what came is lost then and counted */
  push(bytes: Uint8Array): Promise<void> {
    return (this.#tail = this.#tail.catch(() => undefined).then(() => this.#write(bytes)));
  }

  /** Undefined when nothing came. */
  async end(): Promise<OverflowSummary | undefined> {
    await this.#tail.catch(() => undefined);
    if (this.#file === undefined && this.#lost === 0) return undefined;
    await this[Symbol.asyncDispose]();
    return { path: this.#path, writtenBytes: this.#written, lostBytes: this.#lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tail.catch(() => undefined);
    await (await this.#file?.catch(() => undefined))?.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const part = bytes.subarray(0, Math.max(0, this.#limit - this.#written));
    this.#lost += bytes.length - part.length;
    if (part.length === 0) return;
    try {
      this.#file ??= open(this.#path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
      await (await this.#file).writeFile(part);
      this.#written += part.length;
    } catch (error) {
      this.#lost += part.length;
      throw error;
    }
  }
}

/** The directory for outputs of a run, new; only those of the last runs are kept. */
export async function outputsOf(directory: string, { run, epoch }: { run: string; epoch: number }): Promise<string> {
  const all = join(directory, "outputs");
  mkdirSync(all, { recursive: true, mode: 0o700 });
  const name = `${String(epoch).padStart(12, "0")}-${run.replaceAll(/[^A-Za-z0-9-]/g, "_").slice(0, 100)}`;
  const others = readdirSync(all)
    .filter((other) => other !== name)
    .toSorted();
  for (const old of others.slice(0, Math.max(0, others.length + 1 - runsKept))) await removeTree(join(all, old));
  const own = join(all, name);
  mkdirSync(own, { recursive: true, mode: 0o700 });
  return own;
}

const runsKept = 8;
