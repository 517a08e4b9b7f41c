import { createHash, type Hash } from "node:crypto";
import { constants, mkdirSync, readFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { writeAt, writeWhole } from "./write-file.ts";

/** What is known of the copy that was begun: with these a server can tell whether it still has the same. */
export type Origin = {
  /** Host that sent it, after redirects. */
  host: string;
  etag?: string;
  lastModified?: string;
  /** Bytes of the whole file. */
  total?: number;
};

export type Sums = { sha256: string; sha512: string };

/**
 * A file that is being fetched, in a directory of its own: `data`, and `origin.json` that says where it is from. It outlives the
 * process. What is written is hashed on the way; what an earlier process wrote is read once for it.
 */
export class PartialFile implements AsyncDisposable {
  readonly path: string;
  readonly #originFile: string;
  readonly #file: FileHandle;
  #hashes: { sha256: Hash; sha512: Hash };
  #size = 0;
  #origin: Origin | undefined;

  /** Takes up what is there. `onBytes` hears how much of it was read. @throws the signal's reason; errors of node:fs */
  static async open(
    directory: string,
    options: { signal: AbortSignal; onBytes?: (bytes: number, total: number) => void },
  ): Promise<PartialFile> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, "data");
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    const partial = new PartialFile(directory, path, file);
    try {
      await partial.#takeUp(options);
    } catch (error) {
      await file.close();
      throw error;
    }
    return partial;
  }

  private constructor(directory: string, path: string, file: FileHandle) {
    this.path = path;
    this.#originFile = join(directory, "origin.json");
    this.#file = file;
    this.#hashes = newHashes();
  }

  get size(): number {
    return this.#size;
  }

  /** Undefined when nothing is here that a server could go on from. */
  get origin(): Origin | undefined {
    return this.#size === 0 ? undefined : this.#origin;
  }

  async append(piece: Uint8Array): Promise<void> {
    await writeAt(this.#file, piece, this.#size);
    this.#size += piece.length;
    this.#hashes.sha256.update(piece);
    this.#hashes.sha512.update(piece);
  }

  /** Forgets all that is here: what follows is a copy from its beginning, of this origin. */
  async begin(origin: Origin): Promise<void> {
    rmSync(this.#originFile, { force: true });
    await this.#file.truncate(0);
    this.#size = 0;
    this.#hashes = newHashes();
    this.#origin = origin;
    writeWhole(this.#originFile, JSON.stringify(origin));
  }

  /** Of all that is here; it can be taken up no more after this. The bytes are on the disk then. */
  async finish(): Promise<Sums> {
    await this.#file.sync();
    return { sha256: this.#hashes.sha256.digest("hex"), sha512: this.#hashes.sha512.digest("hex") };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close();
  }

  async #takeUp(options: { signal: AbortSignal; onBytes?: (bytes: number, total: number) => void }): Promise<void> {
    const origin = readOrigin(this.#originFile);
    const { size } = await this.#file.stat();
    if (origin === undefined || (origin.total !== undefined && size > origin.total)) return this.#file.truncate(0);
    this.#origin = origin;
    const buffer = new Uint8Array(1 << 20);
    while (this.#size < size) {
      options.signal.throwIfAborted();
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#size);
      if (bytesRead === 0) break;
      this.#hashes.sha256.update(buffer.subarray(0, bytesRead));
      this.#hashes.sha512.update(buffer.subarray(0, bytesRead));
      this.#size += bytesRead;
      options.onBytes?.(this.#size, size);
    }
  }
}

function newHashes(): { sha256: Hash; sha512: Hash } {
  return { sha256: createHash("sha256"), sha512: createHash("sha512") };
}

/** Undefined when it is absent or damaged. */
function readOrigin(file: string): Origin | undefined {
  try {
    const read = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    if (typeof read["host"] !== "string") return undefined;
    const { etag, lastModified, total } = read;
    return {
      host: read["host"],
      ...(typeof etag === "string" ? { etag } : {}),
      ...(typeof lastModified === "string" ? { lastModified } : {}),
      ...(typeof total === "number" ? { total } : {}),
    };
  } catch {
    return undefined;
  }
}
