import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DiskFormat } from "../spec/vm.ts";
import type { Checksum } from "./checksum.ts";
import { examineDiskFile, fileKind } from "./disk-file.ts";
import { NexusError } from "../base/errors.ts";
import type { Sums } from "./partial-file.ts";
import type { Trash } from "./trash.ts";
import { transferText } from "./transfer-progress.ts";
import { unpackFile } from "./unpack-file.ts";
import { placeWhole, writeWhole } from "./write-file.ts";

/** A disk that was fetched and verified. */
export type StoredDisk = {
  /** `sha256:` of the file as it was fetched: packed, when it was packed. */
  key: string;
  sums: Sums;
  path: string;
  format: DiskFormat;
  /** Of the file as it is here. */
  bytes: number;
  virtualBytes: number;
};

export type PlaceOptions = { imageTool: string; maxBytes: number; signal: AbortSignal; progress: (line: string) => void };

/** Disks by what they hold, each a directory `sha256-<digits>` with the file `disk` and what is known of it. */
export class VmDisks {
  readonly #directory: string;
  readonly #trash: Trash;

  constructor(directory: string, trash: Trash) {
    this.#directory = directory;
    this.#trash = trash;
  }

  /** Undefined when it is not here, or not whole. */
  get(key: string): StoredDisk | undefined {
    const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(key) ?? [];
    if (hex === undefined) return undefined;
    const path = join(this.#directory, `sha256-${hex}`, "disk");
    const facts = readFacts(join(this.#directory, `sha256-${hex}`, "facts.json"));
    return facts !== undefined && sizeOf(path) === facts.bytes ? { ...facts, key, path } : undefined;
  }

  /** The disk whose fetched file hashes to that. */
  find(checksum: Checksum): StoredDisk | undefined {
    if (checksum.algorithm === "sha256") return this.get(`sha256:${checksum.hex}`);
    return this.all().find((disk) => disk.sums.sha512 === checksum.hex);
  }

  all(): StoredDisk[] {
    return this.names().flatMap((name) => this.get(name.replace("-", ":")) ?? []);
  }

  /** Every name in its directory, of what is unfinished or damaged too. */
  names(): string[] {
    return existsSync(this.#directory) ? readdirSync(this.#directory).toSorted() : [];
  }

  /** Throws it away; false when it was not there. */
  discard(name: string): boolean {
    return this.#trash.take(join(this.#directory, name));
  }

  /**
   * Makes a disk of a fetched and verified file, which is moved here, or unpacked. `id` names what is made on the way: nobody else
   * may use it meanwhile. @throws NexusError `image-missing` when it is no disk for us, `too-large`; the signal's reason
   */
  async place(fetched: { path: string; sums: Sums; id: string; name: string }, options: PlaceOptions): Promise<StoredDisk> {
    const work = join(this.#directory, `${makingDisk}${fetched.id}`);
    this.#trash.take(work);
    mkdirSync(work, { recursive: true, mode: 0o700 });
    try {
      const disk = join(work, "disk");
      await this.#unpack(fetched, disk, options);
      const { format, bytes, virtualBytes } = await examineDiskFile(disk, options).catch((error: unknown) => {
        // The file is gone when this is read; what matters is what was fetched.
        throw error instanceof NexusError && error.code === "image-missing"
          ? new NexusError("image-missing", error.message.replaceAll(disk, fetched.name), {
              hint: error.hint?.replaceAll(disk, fetched.name),
              cause: error,
            })
          : error;
      });
      const facts: Facts = { sums: fetched.sums, format, bytes, virtualBytes };
      writeWhole(join(work, "facts.json"), JSON.stringify(facts));
      const name = `sha256-${fetched.sums.sha256}`;
      const key = `sha256:${fetched.sums.sha256}`;
      if (this.get(key) === undefined) {
        this.#trash.take(join(this.#directory, name));
        placeWhole(work, join(this.#directory, name));
      }
      return { ...facts, key, path: join(this.#directory, name, "disk") };
    } finally {
      this.#trash.take(work);
    }
  }

  async #unpack(fetched: { path: string; name: string }, disk: string, options: PlaceOptions): Promise<void> {
    const kind = await fileKind(fetched.path);
    if (kind === "gzip" || kind === "zstd") {
      options.progress(`unpacking ${fetched.name}`);
      let told = performance.now();
      const progress = (bytes: number): void => {
        if (performance.now() - told < 500) return;
        told = performance.now();
        options.progress(`unpacked ${transferText(bytes, undefined, undefined)}`);
      };
      await unpackFile(fetched.path, disk, { packing: kind, maxBytes: options.maxBytes, signal: options.signal, progress });
    } else if (kind === "xz" || kind === "bzip2" || kind === "zip") {
      throw new NexusError("image-missing", `${fetched.name} is packed with ${kind}`, {
        hint: "unpack it yourself, and give the path of the disk file",
      });
    } else {
      renameSync(fetched.path, disk);
    }
    chmodSync(disk, 0o400);
  }
}

/** Begins the name of a disk that is being made. */
export const makingDisk = ".making-";

type Facts = Pick<StoredDisk, "sums" | "format" | "bytes" | "virtualBytes">;

function readFacts(file: string): Facts | undefined {
  try {
    const facts = JSON.parse(readFileSync(file, "utf8")) as Facts;
    return typeof facts.bytes === "number" && (facts.format === "qcow2" || facts.format === "raw") && typeof facts.sums.sha512 === "string"
      ? facts
      : undefined;
  } catch {
    return undefined;
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
