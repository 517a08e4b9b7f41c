import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { KernelError, NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import { systemRefusal } from "../base/system-error.ts";
import { type Checksum, formatChecksum } from "./checksum.ts";
import { Holds } from "./holds.ts";
import { Listeners } from "./listeners.ts";
import { SharedFetches } from "./shared-fetch.ts";
import { Trash } from "./trash.ts";
import { findAlias, type PublisherBases } from "./vm-aliases.ts";
import { type StoredDisk, VmDisks } from "./vm-disks.ts";
import { type FetchCall, fetchDisk, type FetchPlace, publishedChecksum } from "./vm-fetch.ts";
import { diskImage, localImage, miniView, type StoredVmImage, type VmImageView } from "./vm-image.ts";
import { buildMiniVm, builtMiniVm } from "./vm-mini.ts";
import { nameOf, parseVmReference, type VmReference, withChecksum } from "./vm-reference.ts";
import { onDisk, sweepDisk, sweepDisks, sweepMini, type SweepPlace } from "./vm-sweep.ts";
import { VmTags } from "./vm-tags.ts";

export type VmImageStoreOptions = {
  directory: string;
  /** For what can be built again, so that it may be in a cache; by default `mini/` in the directory. */
  miniDirectory?: string;
  /** A static busybox for `mini`; by default the host's. */
  busybox?: string;
  /** By default the host's qemu-img. */
  imageTool?: string;
  /** Where publishers' images are, when not at their own place. */
  bases?: Partial<PublisherBases>;
  arch?: "x64" | "arm64";
  /** How long a server may send nothing; half a minute by default. */
  idleMs?: number;
  /** Before the second try of a fetch; it doubles with each. A second by default. */
  retryMs?: number;
  /** Of one image, packed or not; 64 GiB by default. */
  maxBytes?: number;
};

export type VmPullOptions = {
  /** Of a URL that has none in it: `sha256:…` or `sha512:…`. */
  checksum?: string;
  progress?: (line: string) => void;
  signal?: AbortSignal;
};

/**
 * Disks and kernels for virtual machines: `mini`, aliases of publishers' images, URLs with a checksum, and disk files of the host,
 * which are used where they are. Layout: `mini/` (see buildMiniVm), `disks/sha256-<digits>/` (by the hash of what was fetched),
 * `tags/<hash>.json` (what a reference means), `partial/<hash>/` (what is being fetched), `holds/<guest>`, `locks/`, `trash/`.
 */
export class VmImageStore {
  readonly #options: VmImageStoreOptions;
  readonly #place: FetchPlace & SweepPlace;
  /** On the same file system as mini, which may be another. */
  readonly #miniTrash: Trash;
  readonly #tags: VmTags;
  readonly #holds: Holds;
  readonly #work = new SharedFetches<StoredVmImage>();
  readonly #listeners = new Listeners();

  constructor(options: VmImageStoreOptions) {
    this.#options = options;
    const { directory, idleMs = 30_000, retryMs = 1000 } = options;
    const trash = new Trash(join(directory, "trash"));
    this.#miniTrash = new Trash(`${this.#miniDirectory()}-trash`);
    this.#holds = new Holds(join(directory, "holds"));
    this.#tags = new VmTags(join(directory, "tags"));
    this.#place = {
      directory,
      trash,
      disks: new VmDisks(join(directory, "disks"), trash),
      imageTool: options.imageTool ?? "qemu-img",
      maxBytes: options.maxBytes ?? 64 * 2 ** 30,
      idleMs,
      retryMs,
      isNeeded: (key) => this.#tags.all().some((tag) => tag.key === key) || this.#holds.keys().includes(key),
    };
  }

  /**
   * The image of a reference, fetched or built when it is not here yet; a URL that was fetched before needs no checksum again.
   * @throws NexusError `image-missing` saying what was tried, `usage`, and as pull
   */
  async resolve(
    reference: string,
    progress: (line: string) => void = () => undefined,
    signal: AbortSignal = never(),
  ): Promise<StoredVmImage> {
    const parsed = parseVmReference(reference);
    const known = parsed.kind === "alias" || parsed.kind === "url" ? this.#known(parsed) : undefined;
    return known === undefined ? this.pull(reference, { progress, signal }) : diskImage(reference, known);
  }

  /**
   * Fetches an image, or finds that what its publisher has now is here. Callers asking for the same one at the same time share one
   * fetch, which ends with the last of their signals; what came until then is kept, and the next fetch goes on from there.
   * @throws NexusError `image-missing`, `usage`, `too-large`, `timeout` when the server falls silent or a signal ended it; KernelError
   */
  async pull(reference: string, options: VmPullOptions = {}): Promise<StoredVmImage> {
    const { progress = () => undefined, signal = never() } = options;
    const parsed = withChecksum(parseVmReference(reference), options.checksum);
    if (parsed.kind === "file") return localImage(parsed.path, { imageTool: this.#place.imageTool, signal });
    const name = nameOf(parsed);
    const job = parsed.kind === "url" && parsed.checksum !== undefined ? `${name}#${formatChecksum(parsed.checksum)}` : name;
    using _ = this.#listeners.add(job, progress);
    try {
      const image = await this.#work.join(job, signal, (all) =>
        this.#make(parsed, { signal: all, progress: (line) => this.#listeners.tell(job, line) }),
      );
      return { ...image, reference };
    } catch (error) {
      if (signal.aborted && !(error instanceof NexusError))
        throw new NexusError("timeout", `image ${name}: the fetch was called off before it was complete`, { cause: error });
      throw named(name, error);
    } finally {
      void this.#emptyTrash();
    }
  }

  /** What was fetched or built, by reference. */
  list(): VmImageView[] {
    const views = this.#tags.all().flatMap(({ name, key, at }): VmImageView[] => {
      const disk = this.#place.disks.get(key);
      if (disk === undefined) return [];
      const { format, bytes, virtualBytes } = disk;
      return [{ reference: name, key, format, bytes, virtualBytes, pulledAt: at, usedBy: this.#holds.usersOf(key) }];
    });
    const mini = builtMiniVm(this.#miniDirectory());
    return mini === undefined ? views : [...views, miniView(mini, this.#holds.usersOf(mini.key))];
  }

  /** Forgets a reference; its files go when no other means them. @throws NexusError `in-use` naming the guests, `not-found`, `usage` */
  async remove(reference: string): Promise<void> {
    const parsed = parseVmReference(reference);
    if (parsed.kind === "file")
      throw new NexusError("usage", `${parsed.path} is used where it is and was never fetched`, { hint: "remove the file itself" });
    const name = nameOf(parsed);
    // Who was just given the image holds it within this turn of the event loop.
    await setImmediate();
    const key = parsed.kind === "mini" ? builtMiniVm(this.#miniDirectory())?.key : this.#tags.get(name)?.key;
    if (key === undefined) throw new NexusError("not-found", `image ${name} is not on this host`);
    const others = this.#tags.all().filter((tag) => tag.key === key && tag.name !== name);
    const users = this.#holds.usersOf(key);
    if (others.length === 0 && users.length > 0)
      throw new NexusError("in-use", `image ${name} is used by ${users.join(", ")}`, { details: { users } });
    onDisk(`remove image ${name}`, () => {
      this.#tags.remove(name);
      if (parsed.kind === "mini") this.#miniTrash.take(this.#miniDirectory());
      else if (others.length === 0) this.#place.disks.discard(key.replace(":", "-"));
    });
    void this.#emptyTrash();
  }

  /**
   * Removes what no reference, guest or running fetch needs: rests of fetches and builds that died, but for those of the last days
   * that can be gone on from, and disks whose alias has moved on. Gives the names of what went. @throws KernelError
   */
  async sweep(): Promise<string[]> {
    const gone = await sweepDisks(this.#place);
    if (!this.#work.has("mini")) gone.push(...sweepMini(this.#miniDirectory(), { ...this.#place, trash: this.#miniTrash }));
    await this.#emptyTrash();
    return gone;
  }

  /** Marks the image as used by a guest, so that it is not removed below its feet. Repeatable. */
  hold(image: Pick<StoredVmImage, "key">, guestId: string): void {
    onDisk(`note that guest ${guestId} uses an image`, () => this.#holds.hold(image.key, guestId));
  }

  release(guestId: string): void {
    this.#holds.release(guestId);
  }

  /** Ids of the guests that use an image. */
  usedBy(image: Pick<StoredVmImage, "key">): string[] {
    return this.#holds.usersOf(image.key);
  }

  async #make(reference: Exclude<VmReference, { kind: "file" }>, call: FetchCall): Promise<StoredVmImage> {
    const { directory, busybox } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o711 });
    if (reference.kind === "mini")
      return buildMiniVm({ directory: this.#miniDirectory(), ...call, ...(busybox === undefined ? {} : { busybox }) });
    const name = nameOf(reference);
    const { url, checksum } = await this.#sourceOf(reference, call);
    const disk = await fetchDisk(url, checksum, { ...this.#place, ...call });
    const before = this.#tags.get(name);
    this.#tags.set(name, disk.key);
    if (before !== undefined && before.key !== disk.key) await sweepDisk(before.key.replace(":", "-"), this.#place);
    return diskImage(name, disk);
  }

  async #sourceOf(reference: DiskReference, call: FetchCall): Promise<{ url: string; checksum: Checksum }> {
    switch (reference.kind) {
      case "url":
        if (reference.checksum !== undefined) return { url: reference.url, checksum: reference.checksum };
        throw new NexusError("usage", `${reference.url} needs the checksum of what it leads to`, {
          hint: `write ${reference.url}#sha256: and the digits its publisher gives`,
        });
      case "alias": {
        const { arch = process.arch === "arm64" ? "arm64" : "x64", bases = {} } = this.#options;
        const alias = findAlias(reference.name, { arch, bases });
        if (alias === undefined) throw new NexusError("image-missing", `there is no image called ${reference.name}`);
        return { url: alias.url, checksum: await publishedChecksum(alias.url, alias.checksums, { ...this.#place, ...call }) };
      }
      default:
        return unreachable(reference);
    }
  }

  #known(reference: DiskReference): StoredDisk | undefined {
    const tag = this.#tags.get(nameOf(reference));
    const disk = tag === undefined ? undefined : this.#place.disks.get(tag.key);
    if (disk === undefined || reference.kind === "alias" || reference.checksum === undefined) return disk;
    return disk.sums[reference.checksum.algorithm] === reference.checksum.hex ? disk : undefined;
  }

  #miniDirectory(): string {
    return this.#options.miniDirectory ?? join(this.#options.directory, "mini");
  }

  async #emptyTrash(): Promise<void> {
    await Promise.all([this.#place.trash.empty(), this.#miniTrash.empty()]);
  }
}

type DiskReference = Extract<VmReference, { kind: "alias" | "url" }>;

function never(): AbortSignal {
  return new AbortController().signal;
}

/** Every failure names its image. */
function named(name: string, error: unknown): unknown {
  if (error instanceof KernelError || !(error instanceof NexusError)) return systemRefusal(error, `fetch image ${name}`) ?? error;
  if (error.message.includes(name)) return error;
  return new NexusError(error.code, `image ${name}: ${error.message}`, { hint: error.hint, details: error.details, cause: error });
}
