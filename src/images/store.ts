import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";
import { digestName, tryLockDigest } from "./digest-lock.ts";
import { directoryImage } from "./directory.ts";
import { Holds } from "./holds.ts";
import type { ImageConfig, RootImage } from "./image-config.ts";
import { buildMini } from "./mini.ts";
import { makingPrefix, pullImage, type PullProgress } from "./pull.ts";
import { formatReference, isDirectoryReference, parseReference } from "./reference.ts";
import { SharedFetches } from "./shared-fetch.ts";
import { Trash } from "./trash.ts";

export type { RootImage } from "./image-config.ts";

export type ImageView = {
  reference: string;
  digest: string;
  bytes: number;
  pulledAt: string;
  /** Ids of the guests that use it. */
  usedBy: string[];
};

export type ImageStoreOptions = {
  directory: string;
  /** Login file; by default the user's `~/.docker/config.json`. */
  credentialsFile?: string;
  /** A static busybox for `mini`; by default the host's. */
  busybox?: string;
  /** How long a registry may send nothing; half a minute by default. */
  idleMs?: number;
  onProgress?: (progress: PullProgress) => void;
};

/**
 * Root file systems on this host: `mini`, directories, and OCI images, unpacked once per digest and shared by all guests.
 * Layout: `mini/<hash>`, `unpacked/<digest>` (a root file system each), `tags/<hash>.json` (what a reference means),
 * `blobs/<digest>/` (layers while they are fetched), `holds/<guest>` (what a guest uses), `locks/<digest>` (who makes or removes
 * an image), `trash/` (what is being removed).
 */
export class ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #trash: Trash;
  readonly #holds: Holds;
  readonly #pulls = new SharedFetches<RootImage>();

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#trash = new Trash(this.#sub("trash"));
    this.#holds = new Holds(this.#sub("holds"));
  }

  /**
   * The root file system of a reference, fetched when it is not here yet.
   * @throws NexusError `image-missing` saying what was tried, and as pull
   */
  async resolve(reference: string, progress: (line: string) => void = () => undefined, signal: AbortSignal = never()): Promise<RootImage> {
    if (reference === "mini") {
      const { directory, busybox } = this.#options;
      return { reference, ...onDisk("make the mini image", () => buildMini(join(directory, "mini"), busybox)) };
    }
    if (isDirectoryReference(reference)) return directoryImage(reference);
    const known = this.#known(formatReference(parseReference(reference)));
    return known === undefined ? this.pull(reference, progress, signal) : { ...known.image, reference };
  }

  /**
   * Fetches an image anew; callers asking for the same one at the same time share one download, which ends with the last of
   * their signals and then leaves nothing. Different images are fetched side by side.
   * @throws NexusError `image-missing`, `timeout` when the registry falls silent or a signal ended it, `usage`; KernelError
   */
  async pull(reference: string, progress: (line: string) => void = () => undefined, signal: AbortSignal = never()): Promise<RootImage> {
    const name = formatReference(parseReference(reference));
    if (this.#pulls.has(name)) progress(`waiting for ${name}, which is being fetched already`);
    try {
      const image = await this.#pulls.join(name, signal, (all) => this.#pull(reference, progress, all));
      return { ...image, reference };
    } catch (error) {
      if (!signal.aborted || error instanceof NexusError) throw systemRefusal(error, `fetch image ${name}`) ?? error;
      throw new NexusError("timeout", `image ${name}: the fetch was called off before it was complete`, { cause: error });
    }
  }

  list(): ImageView[] {
    return this.#tags()
      .map(({ name, image, bytes, at }) => ({
        reference: name,
        digest: image.key,
        bytes,
        pulledAt: at,
        usedBy: this.#holds.usersOf(image.key),
      }))
      .toSorted((a, b) => a.reference.localeCompare(b.reference));
  }

  /** Forgets a reference; its files go when no other means them, out of sight at once and off the disk soon after. @throws NexusError `in-use`, `not-found` */
  remove(reference: string): void {
    const name = formatReference(parseReference(reference));
    const known = this.#known(name);
    if (known === undefined) throw new NexusError("not-found", `image ${name} is not on this host`);
    const others = this.#tags().filter((tag) => tag.image.key === known.image.key && tag.name !== name);
    const users = this.#holds.usersOf(known.image.key);
    if (others.length === 0 && users.length > 0)
      throw new NexusError("in-use", `image ${name} is used by ${users.join(", ")}`, { details: { users } });
    onDisk(`remove image ${name}`, () => {
      rmSync(this.#tagFile(name), { force: true });
      if (others.length === 0) this.#trash.take(known.image.lower);
    });
    void this.#trash.empty();
  }

  /**
   * Removes what no tag, guest or running fetch needs: the rests of fetches that died, images whose tag has moved on, and what
   * was thrown away before. Safe beside other processes. Gives the names of what went. @throws KernelError
   */
  async sweep(): Promise<string[]> {
    const gone: string[] = [];
    for (const directory of ["unpacked", "blobs"]) {
      for (const name of namesIn(this.#sub(directory))) {
        const digest = name.startsWith(makingPrefix) ? name.slice(makingPrefix.length) : name;
        if (directory === "unpacked" && name === digest && this.#isNeeded(digest)) continue;
        if (await this.#discard(join(directory, name), digest)) gone.push(`${directory}/${name}`);
      }
    }
    await this.#trash.empty();
    return gone;
  }

  /** Marks an image as used by a guest. */
  hold(image: { key: string }, guestId: string): void {
    onDisk(`note that guest ${guestId} uses an image`, () => this.#holds.hold(image.key, guestId));
  }

  release(guestId: string): void {
    this.#holds.release(guestId);
  }

  async #pull(reference: string, progress: (line: string) => void, signal: AbortSignal): Promise<RootImage> {
    const parsed = parseReference(reference);
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o711 });
    const { directory, credentialsFile, idleMs, onProgress } = this.#options;
    let before: Tag | undefined;
    let image: RootImage;
    {
      using pulled = await pullImage(parsed, {
        directory,
        progress,
        signal,
        ...(credentialsFile === undefined ? {} : { credentialsFile }),
        ...(idleMs === undefined ? {} : { idleMs }),
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      image = { reference: formatReference(parsed), key: pulled.digest, lower: pulled.lower, config: pulled.config };
      before = readTag(this.#tagFile(image.reference));
      this.#writeTag({ name: image.reference, image, bytes: pulled.bytes, at: new Date().toISOString() });
    }
    if (before !== undefined && before.image.key !== image.key) {
      const old = digestName(before.image.key);
      if (!this.#isNeeded(old) && (await this.#discard(join("unpacked", old), old))) await this.#trash.empty();
    }
    return image;
  }

  #writeTag(tag: Tag): void {
    mkdirSync(this.#sub("tags"), { recursive: true });
    writeFileSync(`${this.#tagFile(tag.name)}.new`, JSON.stringify(tag));
    renameSync(`${this.#tagFile(tag.name)}.new`, this.#tagFile(tag.name));
  }

  /** Whether a tag means an unpacked image or a guest holds it. */
  #isNeeded(digest: string): boolean {
    return this.#tags().some((tag) => digestName(tag.image.key) === digest) || this.#holds.keys().some((key) => digestName(key) === digest);
  }

  /** Throws away what belongs to a digest, unless somebody is at it or it came to be needed meanwhile. */
  async #discard(path: string, digest: string): Promise<boolean> {
    using lock = await tryLockDigest(this.#options.directory, digest);
    // Who was just given the image by a tag that has moved since holds it within this turn of the event loop.
    await setImmediate();
    if (lock === undefined || (path === join("unpacked", digest) && this.#isNeeded(digest))) return false;
    return onDisk(`remove ${path} of the images`, () => this.#trash.take(this.#sub(path)));
  }

  #known(name: string): Tag | undefined {
    const tag = readTag(this.#tagFile(name));
    return tag !== undefined && existsSync(tag.image.lower) ? tag : undefined;
  }

  #tags(): Tag[] {
    return namesIn(this.#sub("tags")).flatMap((file) => {
      const tag = file.endsWith(".json") ? readTag(join(this.#sub("tags"), file)) : undefined;
      return tag === undefined ? [] : [tag];
    });
  }

  #tagFile(name: string): string {
    return join(this.#sub("tags"), `${encodeURIComponent(name)}.json`);
  }

  #sub(name: string): string {
    return join(this.#options.directory, name);
  }
}

type Tag = { name: string; image: { reference: string; key: string; lower: string; config: ImageConfig }; bytes: number; at: string };

/** @throws KernelError in place of what node:fs throws */
function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw systemRefusal(error, what) ?? error;
  }
}

function never(): AbortSignal {
  return new AbortController().signal;
}

function readTag(file: string): Tag | undefined {
  try {
    return statSync(file).size < 1 << 20 ? (JSON.parse(readFileSync(file, "utf8")) as Tag) : undefined;
  } catch (error) {
    // Absent or damaged means that the image is to be fetched anew; anything else must not make an image look unneeded.
    if (isHostShort(error)) throw systemRefusal(error, `read ${file}`) ?? error;
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).toSorted() : [];
}
