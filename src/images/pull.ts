import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { systemRefusal } from "../base/system-error.ts";
import { digestName, lockDigest } from "./digest-lock.ts";
import type { ImageConfig } from "./image-config.ts";
import {
  choosePlatform,
  compressionOf,
  type Descriptor,
  type ImageConfigDocument,
  type ImageManifest,
  parseImageConfig,
  parseManifest,
  platformsOf,
} from "./manifest.ts";
import { formatReference, type ImageReference } from "./reference.ts";
import { Registry } from "./registry.ts";
import { Trash } from "./trash.ts";

export type PullProgress = { reference: string; receivedBytes: number; totalBytes: number };

/** Until it is disposed, the digest's lock is held: nobody sweeps the image before somebody has written down what it is for. */
export type PulledImage = { digest: string; lower: string; bytes: number; config: ImageConfig } & Disposable;

export type PullOptions = {
  directory: string;
  signal: AbortSignal;
  credentialsFile?: string;
  /** How long a registry may send nothing; half a minute by default. */
  idleMs?: number;
  progress: (line: string) => void;
  onProgress?: (progress: PullProgress) => void;
};

/** Compressed size of all layers together that is still fetched. */
const maxImageBytes = 16 * 2 ** 30;

/** Fetches an image and unpacks it, or finds that its digest is here already. @throws NexusError `image-missing`, `timeout`; the signal's reason */
export async function pullImage(reference: ImageReference, options: PullOptions): Promise<PulledImage> {
  const registry = new Registry(reference, {
    signal: options.signal,
    ...(options.credentialsFile === undefined ? {} : { credentialsFile: options.credentialsFile }),
    ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
  });
  options.progress(`looking up ${formatReference(reference)}`);
  const { digest, manifest } = await manifestFor(registry, reference);
  const bytes = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  if (bytes > maxImageBytes)
    throw new NexusError("too-large", `image ${formatReference(reference)} has ${bytes} bytes; at most ${maxImageBytes} are fetched`);
  const document = parseImageConfig(await registry.blob(manifest.config));
  const lower = join(options.directory, "unpacked", digestName(digest));
  using locked = new DisposableStack();
  locked.use(
    await lockDigest(options.directory, digestName(digest), {
      signal: options.signal,
      onWait: () => options.progress("waiting for another fetch of the same image"),
    }),
  );
  if (!existsSync(lower)) {
    if (document.rootfs.diff_ids.length !== manifest.layers.length)
      throw new NexusError(
        "image-missing",
        `image ${formatReference(reference)}: ${manifest.layers.length} layers, but ${document.rootfs.diff_ids.length} digests for them`,
      );
    await unpackAll({ registry, manifest, document, digest, lower, total: bytes, name: formatReference(reference) }, options);
  }
  const lock = locked.move();
  return { digest, lower, bytes, config: configOf(document), [Symbol.dispose]: () => lock.dispose() };
}

async function manifestFor(registry: Registry, reference: ImageReference): Promise<{ digest: string; manifest: ImageManifest }> {
  const top = await registry.manifest(reference.digest ?? reference.tag ?? "latest");
  const parsed = parseManifest(top.bytes);
  if (parsed.kind === "manifest") return { digest: top.digest, manifest: parsed.manifest };
  const entry = choosePlatform(parsed.index, process.arch);
  if (entry === undefined) {
    throw new NexusError(
      "image-missing",
      `image ${formatReference(reference)} is not made for linux/${process.arch}, only for ${platformsOf(parsed.index).join(", ") || "nothing that is named"}`,
    );
  }
  const below = await registry.manifest(entry.digest);
  const inner = parseManifest(below.bytes);
  if (inner.kind === "index") throw new NexusError("image-missing", `image ${formatReference(reference)}: an index within an index`);
  return { digest: below.digest, manifest: inner.manifest };
}

type Unpacking = {
  registry: Registry;
  manifest: ImageManifest;
  document: ImageConfigDocument;
  digest: string;
  lower: string;
  total: number;
  name: string;
};

/** What it makes on the way bears the image's digest: under its lock nothing else can be using it. */
async function unpackAll(image: Unpacking, options: PullOptions): Promise<void> {
  const trash = new Trash(join(options.directory, "trash"));
  const blobs = join(options.directory, "blobs", digestName(image.digest));
  const work = join(options.directory, "unpacked", `${makingPrefix}${digestName(image.digest)}`);
  // What a process that died here left behind.
  trash.take(work);
  mkdirSync(blobs, { recursive: true, mode: 0o700 });
  mkdirSync(join(options.directory, "unpacked"), { recursive: true, mode: 0o711 });
  mkdirSync(work, { mode: 0o700 });
  // A root file system's top is 0755 unless a layer says otherwise; a private one would lock users other than root out.
  const root = join(work, "root");
  mkdirSync(root, { mode: 0o755 });
  let broken = false;
  const onBytes = countBytes(image, options);
  const { unpackLayer } = await import("./layer.ts");
  try {
    for (const [n, layer] of image.manifest.layers.entries()) {
      options.progress(`layer ${n + 1} of ${image.manifest.layers.length}, ${megabytes(layer.size)}`);
      broken = true;
      const path = await layerFile(image.registry, layer, blobs, onBytes);
      broken = false;
      const diffId = image.document.rootfs.diff_ids[n] ?? "";
      const notes = await unpackLayer({ path, compression: compressionOf(layer.mediaType), diffId }, root, { signal: options.signal });
      for (const note of notes.slice(0, 20)) options.progress(note);
    }
    renameSync(root, image.lower);
  } finally {
    trash.take(work);
    // The unpacked form is what guests share. Whole layers are worth keeping only where the network failed: the next try goes on there.
    if (!broken || options.signal.aborted) trash.take(blobs);
    await trash.empty();
  }
}

/** Begins the name of a root file system that is being made. */
export const makingPrefix = ".making-";

/** Tells how far it is, in words at most twice a second. */
function countBytes(image: Unpacking, options: PullOptions): (count: number) => void {
  let received = 0;
  let told = performance.now();
  return (count) => {
    received += count;
    if (performance.now() - told > 500) {
      told = performance.now();
      options.progress(`${megabytes(received)} of ${megabytes(image.total)}`);
    }
    options.onProgress?.({ reference: image.name, receivedBytes: received, totalBytes: image.total });
  };
}

/** A blob that is here already was verified before it got its name: a pull that failed later goes on from there. */
async function layerFile(registry: Registry, layer: Descriptor, blobs: string, onBytes: (count: number) => void): Promise<string> {
  const path = join(blobs, layer.digest.replace(":", "-"));
  if (existsSync(path)) {
    onBytes(layer.size);
    return path;
  }
  const part = `${path}.part`;
  rmSync(part, { force: true });
  try {
    await registry.download(layer, part, onBytes);
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw systemRefusal(error, `fetch a layer into ${part}`) ?? error;
  }
  return path;
}

function configOf(document: ImageConfigDocument): ImageConfig {
  const config = document.config;
  return {
    entrypoint: config?.Entrypoint ?? [],
    command: config?.Cmd ?? [],
    env: (config?.Env ?? []).filter((line) => line.includes("=")),
    workingDirectory: config?.WorkingDir ?? "",
    user: config?.User ?? "",
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
