import { createHash } from "node:crypto";
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { isHostShort } from "../base/system-error.ts";
import { type Checksum, formatChecksum } from "./checksum.ts";
import { findChecksum, parseChecksumList } from "./checksum-list.ts";
import { lockDigest } from "./digest-lock.ts";
import { httpGetText } from "./http-get.ts";
import { PartialFile, type Sums } from "./partial-file.ts";
import { download } from "./resumed-download.ts";
import { megabytes } from "./transfer-progress.ts";
import type { Trash } from "./trash.ts";
import type { StoredDisk, VmDisks } from "./vm-disks.ts";

export type FetchPlace = {
  /** The store's own, for `partial/` and `locks/`. */
  directory: string;
  disks: VmDisks;
  trash: Trash;
  imageTool: string;
  maxBytes: number;
  /** How long a server may send nothing. */
  idleMs: number;
  /** Before the second try; it doubles with each. */
  retryMs: number;
};

export type FetchCall = { signal: AbortSignal; progress: (line: string) => void };

/**
 * The sum a publisher's list has for the file of that address. Whoever controls the list chooses the image: it must come by https.
 * @throws NexusError `image-missing`, `timeout`, `wire-invalid`
 */
export async function publishedChecksum(url: string, list: string, call: FetchCall & { idleMs: number }): Promise<Checksum> {
  call.progress(`reading the checksums in ${list}`);
  const text = await httpGetText(list, { signal: call.signal, idleMs: call.idleMs }, 4 << 20);
  const file = fileNameOf(url);
  const checksum = findChecksum(parseChecksumList(text), file);
  if (checksum !== undefined) return checksum;
  throw new NexusError("image-missing", `${list} has no sha256 or sha512 sum for ${file}`, {
    hint: "give the image's URL with its checksum",
  });
}

/**
 * Fetches the file with that checksum, or finds it here. What came of a fetch that broke off is kept and gone on from.
 * @throws NexusError `image-missing`, `timeout`, `too-large`, `runtime-missing`; KernelError; the signal's reason
 */
export async function fetchDisk(url: string, checksum: Checksum, at: FetchPlace & FetchCall): Promise<StoredDisk> {
  const id = partialId(url, checksum);
  using _ = await lockDigest(at.directory, fetchLock(id), {
    signal: at.signal,
    onWait: () => at.progress("waiting for another fetch of the same image"),
  });
  const here = at.disks.find(checksum);
  if (here !== undefined) return here;
  const directory = join(at.directory, "partial", id);
  const name = fileNameOf(url);
  const fetched = await fetchFile(url, directory, at);
  try {
    if (fetched.sums[checksum.algorithm] !== checksum.hex) {
      const got = formatChecksum({ algorithm: checksum.algorithm, hex: fetched.sums[checksum.algorithm] });
      throw new NexusError(
        "image-missing",
        `what came from ${url} has ${got}, and it should have ${formatChecksum(checksum)}; it was removed`,
        {
          hint: "the file was changed on its way or by its publisher: compare with the publisher's checksum, then try again",
          details: { expected: formatChecksum(checksum), got },
        },
      );
    }
    return await at.disks.place({ ...fetched, id, name }, at);
  } finally {
    at.trash.take(directory);
  }
}

/** Name of the lock of whoever fetches into `partial/<id>` and makes a disk of it. */
export function fetchLock(id: string): string {
  return `fetch-${id}`;
}

async function fetchFile(url: string, directory: string, at: FetchPlace & FetchCall): Promise<{ path: string; sums: Sums }> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let worthKeeping = false;
  try {
    await using partial = await PartialFile.open(directory, { signal: at.signal });
    if (partial.size > 0) at.progress(`going on after ${megabytes(partial.size)} of an earlier fetch`);
    try {
      await download(url, partial, { ...at, room: (bytes) => checkRoom(directory, bytes) });
    } catch (error) {
      // On a disk that is full it would only be in the way.
      worthKeeping = partial.size > 0 && !isHostShort(error instanceof Error ? error.cause : undefined);
      throw error;
    }
    worthKeeping = true;
    return { path: partial.path, sums: await partial.finish() };
  } finally {
    if (!worthKeeping) at.trash.take(directory);
  }
}

function checkRoom(directory: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new NexusError(
    "image-missing",
    `there is no room for it: ${megabytes(bytes)} are to come, and ${directory} has ${megabytes(free)} free`,
    {
      hint: "free space on that disk, then try again",
      details: { neededBytes: bytes, freeBytes: free },
    },
  );
}

function fileNameOf(url: string): string {
  const last = new URL(url).pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

function partialId(url: string, checksum: Checksum): string {
  return createHash("sha256")
    .update(`${url} ${formatChecksum(checksum)}`)
    .digest("hex")
    .slice(0, 32);
}
