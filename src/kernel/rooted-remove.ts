import { constants } from "node:fs";
import { opendir } from "node:fs/promises";
import { NexusError } from "../base/errors.ts";
import { removeDirectoryAt, unlinkAt } from "../sys/directory-entries.ts";
import { isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { openat2, pathOnly, resolve } from "../sys/openat2.ts";

/**
 * Removes a directory and what is in it. Every directory on the way down is held open, and neither links nor mounts are passed, so
 * whoever moves things about meanwhile gets nothing removed that was not below.
 * @throws NexusError `in-use` when something is mounted below, `too-large`, `timeout`; KernelError
 */
export async function removeBelow(parent: Fd, name: Buffer): Promise<void> {
  await removeDirectory({ parent, name, depth: 0, end: performance.now() + deadlineMs });
}

type Doomed = { parent: Fd; name: Buffer; depth: number; end: number };

async function removeDirectory({ parent, name, depth, end }: Doomed): Promise<void> {
  if (depth > deepest)
    throw new NexusError("too-large", `it is more than ${deepest} directories deep`, { hint: "remove it by a command inside: rm -r" });
  for (;;) {
    using directory = openChild(parent, name);
    if (directory === undefined) return;
    const listing = await opendir(`/proc/self/fd/${directory.number}`, { encoding: "buffer" as BufferEncoding, bufferSize: 256 });
    for await (const { name: entry } of listing as unknown as AsyncIterable<{ name: Buffer }>) {
      if (performance.now() > end)
        throw new NexusError("timeout", `it was not removed within ${deadlineMs / 1000} s`, {
          hint: "somebody inside may be making files",
        });
      if (!removeEntry(directory, entry)) await removeDirectory({ parent: directory, name: entry, depth: depth + 1, end });
    }
    try {
      removeDirectoryAt(parent, name);
      return;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      if (!isErrno(error, "ENOTEMPTY") || performance.now() > end) throw error;
    }
  }
}

/** False when it is a directory. */
function removeEntry(directory: Fd, name: Buffer): boolean {
  try {
    // Whatever is mounted here is not below: this refuses it with EXDEV.
    using _ = openat2(directory, name, { flags: pathOnly | constants.O_NOFOLLOW, walk: resolve.noMounts | resolve.noMagicLinks });
    unlinkAt(directory, name);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    if (isErrno(error, "EISDIR")) return false;
    throw mounted(error);
  }
}

function openChild(parent: Fd, name: Buffer): Fd | undefined {
  try {
    return openat2(parent, name, {
      flags: constants.O_DIRECTORY | constants.O_NOFOLLOW,
      walk: resolve.noMounts | resolve.noMagicLinks | resolve.noLinks,
    });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw mounted(error);
  }
}

function mounted(error: unknown): unknown {
  return isErrno(error, "EXDEV") ? new NexusError("in-use", "something is mounted below it", { cause: error }) : error;
}

const deepest = 200;
const deadlineMs = 120_000;
