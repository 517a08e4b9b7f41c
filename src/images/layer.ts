import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline, type Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { type Extract, extract, type Header } from "tar-stream";
import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import { throughXz } from "./xz.ts";

export type Compression = "none" | "gzip" | "zstd" | "xz";

export type Layer = {
  path: string;
  compression: Compression;
  /** Digest of the uncompressed archive; absent where the packed one was checked. */
  diffId?: string;
};

export type LayerLimits = { maxBytes: number; maxEntries: number };

export const defaultLayerLimits: LayerLimits = { maxBytes: 32 * 2 ** 30, maxEntries: 2_000_000 };

export type UnpackOptions = {
  limits?: LayerLimits;
  signal?: AbortSignal;
  /** Whose the files are: as the archive says, for which it takes root, or the caller's. */
  owners?: "archive" | "caller";
};

/**
 * Unpacks one layer over what is in `root` (OCI image specification, layer.md). Nothing outside `root` is touched: names with
 * `..`, and names below a link that is absolute or climbs out, are refused; what is in the way is removed, never written
 * through. Returns notes on what was left out: device nodes and pipes, which a guest could not use anyway.
 * @throws NexusError `image-missing` when the layer is malicious, damaged or too large; KernelError when the host has no
 * room; the signal's reason
 */
export async function unpackLayer(layer: Layer, root: string, options: UnpackOptions = {}): Promise<string[]> {
  const { limits = defaultLayerLimits, signal: asked } = options;
  const target = new LayerTarget(root, options.owners ?? "archive");
  const tar = extract();
  const hash = createHash("sha256");
  const stop = new AbortController();
  const signal = asked === undefined ? stop.signal : AbortSignal.any([asked, stop.signal]);
  const feeding = feed(layer, tar, { hash, maxBytes: limits.maxBytes, signal }).catch((error: unknown) => {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  });
  // Its error is looked at below; until then it must not count as unhandled.
  feeding.catch(() => undefined);
  let entries = 0;
  try {
    for await (const entry of tar) {
      asked?.throwIfAborted();
      if (++entries > limits.maxEntries) throw refused(`a layer has more than ${limits.maxEntries} entries`);
      await target.add(entry.header, entry as AsyncIterable<Buffer>);
      entry.resume();
    }
    await feeding;
  } catch (error) {
    stop.abort();
    tar.destroy();
    await feeding.catch(() => undefined);
    asked?.throwIfAborted();
    if (isHostShort(error)) throw systemRefusal(error, `unpack an image into ${root}`) ?? error;
    throw error instanceof NexusError
      ? error
      : refused(`a layer cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const digest = `sha256:${hash.digest("hex")}`;
  if (layer.diffId !== undefined && digest !== layer.diffId) throw refused(`a layer unpacked to ${digest}, not ${layer.diffId}`);
  target.finish();
  return target.notes;
}

/** By hand rather than by pipe: the archive reader is no node:stream, and a pipe would hang on its errors. */
async function feed(layer: Layer, tar: Extract, check: { hash: Hash; maxBytes: number; signal: AbortSignal }): Promise<void> {
  const file = createReadStream(layer.path, { signal: check.signal });
  let bytes = 0;
  for await (const chunk of unpacked(file, layer.compression)) {
    bytes += chunk.length;
    if (bytes > check.maxBytes) throw refused(`a layer unpacks to more than ${check.maxBytes} bytes`);
    check.hash.update(chunk);
    if (!tar.write(chunk)) await once(tar, "drain", { signal: check.signal });
  }
  tar.end(undefined);
}

class LayerTarget {
  readonly notes: string[] = [];
  readonly #root: string;
  readonly #owners: "archive" | "caller";
  /** Paths this layer made: its whiteouts are about the layers below only. */
  readonly #own = new Set<string>();
  /** Times of directories are set last: putting something in changes them. */
  readonly #directoryTimes = new Map<string, Date>();

  constructor(root: string, owners: "archive" | "caller") {
    this.#root = root;
    this.#owners = owners;
  }

  async add(header: Header, content: AsyncIterable<Buffer>): Promise<void> {
    const parts = partsOf(header.name);
    const name = parts.pop();
    if (name === undefined) {
      if (header.type === "directory") this.#setOwner(this.#root, header);
      return;
    }
    const parent = this.#directory(parts, header.name);
    if (name === ".wh..wh..opq") return this.#clear(parent);
    if (name.startsWith(".wh.")) return this.#whiteout(parent, name.slice(4), header.name);
    const path = join(parent, name);
    if (header.type !== "directory" || statOf(path)?.isDirectory() !== true) this.#makeRoom(path);
    this.#own.add(path);
    switch (header.type) {
      case "directory":
        if (statOf(path) === undefined) mkdirSync(path, 0o700);
        this.#directoryTimes.set(path, header.mtime ?? new Date(0));
        return this.#setOwner(path, header);
      case "file":
      case "contiguous-file":
        await writeContent(path, content);
        return this.#setOwner(path, header);
      case "symlink":
        symlinkSync(header.linkname ?? "", path);
        return this.#setOwner(path, header);
      case "link":
        return this.#hardLink(path, header);
      default:
        this.notes.push(`${header.name}: a ${header.type ?? "thing of unknown kind"} was left out`);
    }
  }

  finish(): void {
    for (const [path, time] of this.#directoryTimes) if (statOf(path)?.isDirectory() === true) lutimesSync(path, time, time);
  }

  /** The real directory behind a path, made where it is missing; links are followed only as far as they stay inside. */
  #directory(parts: readonly string[], name: string): string {
    const done: string[] = [];
    const waiting = [...parts].reverse();
    for (let links = 0; ;) {
      const part = waiting.pop();
      if (part === undefined) return join(this.#root, ...done);
      if (part === "..") {
        if (done.pop() === undefined) throw refused(`"${name}" leads out of the image through a link`);
        continue;
      }
      const path = join(this.#root, ...done, part);
      const stat = statOf(path);
      if (stat?.isSymbolicLink() === true) {
        const target = readlinkSync(path);
        if (target.startsWith("/") || ++links > 40)
          throw refused(`"${name}" leads through the link ${part} -> ${target}, which could point anywhere`);
        waiting.push(
          ...target
            .split("/")
            .filter((piece) => piece !== "" && piece !== ".")
            .reverse(),
        );
        continue;
      }
      if (stat !== undefined && !stat.isDirectory()) this.#makeRoom(path);
      if (stat?.isDirectory() !== true) {
        mkdirSync(path, 0o755);
        this.#own.add(path);
      }
      done.push(part);
    }
  }

  #makeRoom(path: string): void {
    const stat = statOf(path);
    if (stat === undefined) return;
    if (!stat.isDirectory()) return unlinkSync(path);
    rmSync(path, { recursive: true });
    // What was noted below it may soon lie behind a link that points elsewhere.
    for (const known of this.#directoryTimes.keys()) if (known === path || known.startsWith(`${path}/`)) this.#directoryTimes.delete(known);
  }

  #whiteout(parent: string, name: string, full: string): void {
    if (name === "" || name === "." || name === "..") throw refused(`"${full}" is no whiteout`);
    const path = join(parent, name);
    if (!this.#own.has(path)) this.#makeRoom(path);
  }

  #clear(directory: string): void {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (!this.#own.has(path)) this.#makeRoom(path);
      else if (statOf(path)?.isDirectory() === true) this.#clear(path);
    }
  }

  #hardLink(path: string, header: Header): void {
    const parts = partsOf(header.linkname ?? "");
    const name = parts.pop();
    const source = name === undefined ? undefined : join(this.#directory(parts, header.name), name);
    const stat = source === undefined ? undefined : statOf(source);
    if (source === undefined || stat === undefined || stat.isDirectory())
      throw refused(`"${header.name}" is a hard link to ${header.linkname}, which is not there`);
    linkSync(source, path);
  }

  /** Owner before mode: chown(2) takes set-user-id bits away. */
  #setOwner(path: string, header: Header): void {
    if (this.#owners === "archive") lchownSync(path, header.uid ?? 0, header.gid ?? 0);
    if (header.type === "symlink") return;
    const mode = (header.mode ?? 0o644) & 0o7777;
    // The caller must be able to remove again what it does not own as root would.
    chmodSync(path, this.#owners === "archive" ? mode : (mode & 0o777) | (header.type === "directory" ? 0o700 : 0o400));
    const time = header.mtime ?? new Date(0);
    lutimesSync(path, time, time);
  }
}

/** O_EXCL and O_NOFOLLOW: only ever a file that did not exist a moment ago. */
async function writeContent(path: string, content: AsyncIterable<Buffer>): Promise<void> {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    for await (const piece of content) for (let at = 0; at < piece.length;) at += writeSync(fd, piece, at);
  } finally {
    closeSync(fd);
  }
}

function partsOf(name: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || name.includes("\0")) throw refused(`"${name}" leads out of the image`);
  return parts;
}

function unpacked(file: Readable, compression: Compression): AsyncIterable<Buffer> {
  switch (compression) {
    case "none":
      return file;
    case "gzip":
      return pipeline(file, createGunzip(), ignoreHere);
    case "zstd":
      return pipeline(file, createZstdDecompress(), ignoreHere);
    case "xz":
      return throughXz(file);
    default:
      return unreachable(compression);
  }
}

/** A failure destroys the last stream with its error, so whoever reads that one is told. */
function ignoreHere(): void {}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function refused(problem: string, cause?: unknown): NexusError {
  return new NexusError("image-missing", problem, { cause, hint: "the image is damaged or means harm; do not use it" });
}
