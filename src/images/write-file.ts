import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

/** Replaces a small file as a whole: whoever reads it sees the old or the new text, after a power cut too. */
export function writeWhole(path: string, text: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, text, { mode, flush: true });
  renameSync(`${path}.new`, path);
  flushDirectory(dirname(path));
}

/** Gives a finished file or directory its name for good. @throws errors of node:fs, as EEXIST or ENOTEMPTY */
export function placeWhole(from: string, to: string): void {
  flushDirectory(from);
  renameSync(from, to);
  flushDirectory(dirname(to));
}

/** All of the bytes; a single write may take fewer. */
export async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function flushDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
