import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { waitForFileLock } from "../kernel/file-lock.ts";
import { directoryImage } from "./directory.ts";
import type { ImageConfig, RootImage } from "./image-config.ts";
import { buildMini } from "./mini.ts";
import { pullImage, type PullProgress } from "./pull.ts";
import { formatReference, isDirectoryReference, parseReference } from "./reference.ts";

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
  onProgress?: (progress: PullProgress) => void;
};

/**
 * Root file systems on this host: `mini`, directories, and OCI images, unpacked once per digest and shared by all guests.
 * Layout: `mini/<hash>`, `unpacked/<digest>` (a root file system each), `tags/<hash>.json` (what a reference means),
 * `blobs/<digest>` (layers while they are fetched), `holds/<guest>` (what a guest uses), `lock`.
 */
export class ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #pulls = new Map<string, Promise<RootImage>>();

  constructor(options: ImageStoreOptions) {
    this.#options = options;
  }

  /**
   * The root file system of a reference, fetched when it is not here yet.
   * @throws NexusError `image-missing` saying what was tried
   */
  async resolve(reference: string, progress: (line: string) => void = () => undefined): Promise<RootImage> {
    if (reference === "mini") return { reference, ...buildMini(join(this.#options.directory, "mini"), this.#options.busybox) };
    if (isDirectoryReference(reference)) return directoryImage(reference);
    const known = this.#known(formatReference(parseReference(reference)));
    return known === undefined ? this.pull(reference, progress) : { ...known.image, reference };
  }

  /** Fetches an image anew; callers asking for the same one at the same time share one download. */
  async pull(
    reference: string,
    progress: (line: string) => void = () => undefined,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<RootImage> {
    const name = formatReference(parseReference(reference));
    const running = this.#pulls.get(name);
    if (running !== undefined) {
      progress(`waiting for ${name}, which is being fetched already`);
      return running;
    }
    const pull = this.#pull(reference, progress, signal).finally(() => this.#pulls.delete(name));
    this.#pulls.set(name, pull);
    return pull;
  }

  list(): ImageView[] {
    return this.#tags()
      .map(({ name, image, bytes, at }) => ({ reference: name, digest: image.key, bytes, pulledAt: at, usedBy: this.#usersOf(image.key) }))
      .toSorted((a, b) => a.reference.localeCompare(b.reference));
  }

  /** Forgets a reference, and removes its files when no other reference means them. @throws NexusError `in-use`, `not-found` */
  remove(reference: string): void {
    const name = formatReference(parseReference(reference));
    const known = this.#known(name);
    if (known === undefined) throw new NexusError("not-found", `image ${name} is not on this host`);
    const others = this.#tags().filter((tag) => tag.image.key === known.image.key && tag.name !== name);
    const users = this.#usersOf(known.image.key);
    if (others.length === 0 && users.length > 0)
      throw new NexusError("in-use", `image ${name} is used by ${users.join(", ")}`, { details: { users } });
    rmSync(this.#tagFile(name), { force: true });
    if (others.length > 0) return;
    // Renamed first, so that a crash half-way leaves rubbish but never half an image.
    const rubbish = mkdtempSync(join(this.#options.directory, ".removing-"));
    renameSync(known.image.lower, join(rubbish, "root"));
    rmSync(rubbish, { recursive: true, force: true });
  }

  /** Marks an image as used by a guest. */
  hold(image: { key: string }, guestId: string): void {
    const directory = this.#sub("holds");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `${guestId}.new`), image.key);
    renameSync(join(directory, `${guestId}.new`), join(directory, guestId));
  }

  release(guestId: string): void {
    rmSync(join(this.#sub("holds"), guestId), { force: true });
  }

  async #pull(reference: string, progress: (line: string) => void, signal: AbortSignal): Promise<RootImage> {
    const parsed = parseReference(reference);
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o711 });
    using _ = await waitForFileLock(join(this.#options.directory, "lock"), {
      signal,
      onWait: () => progress("waiting for another process that fetches images"),
    });
    const { credentialsFile, onProgress } = this.#options;
    const pulled = await pullImage(parsed, {
      directory: this.#options.directory,
      progress,
      signal,
      ...(credentialsFile === undefined ? {} : { credentialsFile }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    const image: RootImage = { reference: formatReference(parsed), key: pulled.digest, lower: pulled.lower, config: pulled.config };
    const tag: Tag = { name: image.reference, image, bytes: pulled.bytes, at: new Date().toISOString() };
    mkdirSync(this.#sub("tags"), { recursive: true });
    writeFileSync(`${this.#tagFile(tag.name)}.new`, JSON.stringify(tag));
    renameSync(`${this.#tagFile(tag.name)}.new`, this.#tagFile(tag.name));
    return { ...image, reference };
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

  #usersOf(key: string): string[] {
    return namesIn(this.#sub("holds")).filter(
      (guest) => !guest.endsWith(".new") && readFileSync(join(this.#sub("holds"), guest), "utf8") === key,
    );
  }

  #tagFile(name: string): string {
    return join(this.#sub("tags"), `${encodeURIComponent(name)}.json`);
  }

  #sub(name: string): string {
    return join(this.#options.directory, name);
  }
}

type Tag = { name: string; image: { reference: string; key: string; lower: string; config: ImageConfig }; bytes: number; at: string };

function readTag(file: string): Tag | undefined {
  try {
    return statSync(file).size < 1 << 20 ? (JSON.parse(readFileSync(file, "utf8")) as Tag) : undefined;
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).toSorted() : [];
}
