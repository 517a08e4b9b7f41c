import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readSync, renameSync, openSync, closeSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import { resolveInside } from "../kernel/inside.ts";
import { type Checksum, formatChecksum } from "./checksum.ts";
import { digestName, lockDigest } from "./digest-lock.ts";
import type { Compression } from "./layer.ts";
import { PartialFile } from "./partial-file.ts";
import { download } from "./resumed-download.ts";
import { megabytes } from "./transfer-progress.ts";
import { Trash } from "./trash.ts";

/** Where the root file system of untrusted commands is from. `host` is the host's own programs, and needs nothing. */
export type RootfsSource =
  | { kind: "host" }
  | { kind: "directory"; path: string }
  | { kind: "archive"; path: string }
  | { kind: "url"; url: string; checksum: Checksum };

export type RootfsCall = {
  /** Of what is fetched and unpacked: `unpacked/sha256-<digits>/`, `partial/`, `locks/`, `trash/`. */
  cache: string;
  signal: AbortSignal;
  progress: (line: string) => void;
  /** How long a server may send nothing; half a minute by default. */
  idleMs?: number;
};

/**
 * The directory with the root file system, fetched and unpacked when it is not here yet; undefined for the host's programs. What is
 * unpacked has the archive's hash for its name and is never changed: another process may be using it.
 * @throws NexusError `image-missing`, `timeout`, `too-large`, `runtime-missing`; KernelError; the signal's reason
 */
export async function sandboxRootfs(source: RootfsSource, call: RootfsCall): Promise<string | undefined> {
  switch (source.kind) {
    case "host":
      return undefined;
    case "directory":
      return usable(source.path, source.path);
    case "archive": {
      const key = `sha256:${await hashOf(source.path, call.signal)}`;
      return await unpackedAs(key, source.path, call, () => Promise.resolve(source.path));
    }
    case "url": {
      const key = formatChecksum(source.checksum);
      return await unpackedAs(key, source.url, call, (partial) => fetchArchive(source, partial, call));
    }
    default:
      return unreachable(source);
  }
}

/** Where what was made of the archive with this hash is, once it is there. */
export function unpackedAt(cache: string, key: string): string {
  return join(cache, "unpacked", digestName(key));
}

/** Under the hash's lock, so that two who want the same fetch it once. `archive` gives its path, having checked it. */
async function unpackedAs(key: string, name: string, call: RootfsCall, archive: (partial: string) => Promise<string>): Promise<string> {
  const finished = unpackedAt(call.cache, key);
  if (existsSync(finished)) return finished;
  // Archives hold set-user-id programs of whoever made them: nobody else is to reach these.
  mkdirSync(join(call.cache, "unpacked"), { recursive: true, mode: 0o700 });
  const onWait = (): void => call.progress(`waiting for another fetch of ${name}`);
  using _ = await lockDigest(call.cache, digestName(key), { signal: call.signal, onWait });
  if (existsSync(finished)) return finished;
  const trash = new Trash(join(call.cache, "trash"));
  const partial = join(call.cache, "partial", digestName(key));
  const making = join(call.cache, "unpacked", `.making-${digestName(key)}`);
  // What a process that died here left behind.
  trash.take(making);
  try {
    const path = await archive(partial);
    call.progress(`unpacking ${name}`);
    mkdirSync(making, { mode: 0o755 });
    const owners = process.getuid?.() === 0 ? "archive" : "caller";
    const { unpackLayer } = await import("./layer.ts");
    const notes = await unpackLayer({ path, compression: compressionOf(path) }, making, { signal: call.signal, owners }).catch(
      (error: unknown) => {
        throw error instanceof NexusError
          ? new NexusError(error.code, `${name}: ${error.message}`, { hint: error.hint, cause: error })
          : error;
      },
    );
    for (const note of notes.slice(0, 20)) call.progress(note);
    renameSync(usable(making, name), finished);
    trash.take(partial);
    return finished;
  } finally {
    trash.take(making);
    await trash.empty();
  }
}

async function fetchArchive(source: Extract<RootfsSource, { kind: "url" }>, directory: string, call: RootfsCall): Promise<string> {
  await using partial = await PartialFile.open(directory, { signal: call.signal });
  if (partial.size > 0) call.progress(`going on after ${megabytes(partial.size)} of an earlier fetch`);
  await download(source.url, partial, { ...call, idleMs: call.idleMs ?? 30_000, retryMs: 1000, maxBytes, room: () => {} });
  const { algorithm, hex } = source.checksum;
  const got = (await partial.finish())[algorithm];
  if (got === hex) return partial.path;
  // It would be gone on from for ever.
  await partial.begin({ host: "" });
  throw new NexusError("image-missing", `what came from ${source.url} has ${algorithm}:${got}, and it should have ${algorithm}:${hex}`, {
    hint: "the file was changed on its way or by its publisher: compare with the publisher's checksum",
  });
}

/** Every sandbox begins with a shell. */
function usable(directory: string, name: string): string {
  const shell = ["/bin/sh", "/usr/bin/sh"].map((path) => resolveInside(directory, path)?.stat).find((stat) => stat?.isFile() === true);
  if (shell !== undefined && (shell.mode & 0o111) !== 0) return directory;
  throw new NexusError("image-missing", `${name} is no root file system for sandboxes: it has no /bin/sh`, {
    hint: "give one of a distribution, as debootstrap makes it",
  });
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(path, { signal, highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  } catch (error) {
    signal.throwIfAborted();
    throw new NexusError("image-missing", `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return hash.digest("hex");
}

/** By its first bytes: names lie. */
function compressionOf(path: string): Compression {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(6);
    readSync(fd, head, 0, head.length, 0);
    const begins = (hex: string): boolean => head.toString("hex").startsWith(hex);
    return begins("1f8b") ? "gzip" : begins("28b52ffd") ? "zstd" : begins("fd377a585a00") ? "xz" : "none";
  } finally {
    closeSync(fd);
  }
}

const maxBytes = 4 * 2 ** 30;
