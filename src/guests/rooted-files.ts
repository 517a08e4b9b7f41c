import type { FileHandle } from "node:fs/promises";
import type { Stats } from "node:fs";
import { basename } from "node:path";
import type { Rooted } from "../kernel/rooted.ts";
import {
  kindOf,
  listDirectory,
  makeDirectory,
  openToRead,
  removeFile,
  renameFile,
  type RootedEntry,
  statFile,
  writeFile,
} from "../kernel/rooted-files.ts";
import type { FileView } from "../spec/views.ts";
import { type GuestFiles, nameOf } from "./guest-files.ts";

/** Files below a root that is opened for each operation, and closed after it. */
export function rootedFiles(rooted: () => Rooted): GuestFiles {
  return {
    async stat(path) {
      using root = rooted();
      return viewOf(path, statFile(root, Buffer.from(path)));
    },
    async read(path, { offset, limitBytes }) {
      using root = rooted();
      const { file, stats } = await openToRead(root, Buffer.from(path));
      return { file: viewOf(path, stats), chunks: piecesOf(file, { offset, limitBytes: limitBytes ?? Infinity }) };
    },
    async write(path, content) {
      using root = rooted();
      return viewOf(path, await writeFile(root, Buffer.from(path), content));
    },
    async list(path, limit) {
      using root = rooted();
      const { entries, more } = await listDirectory(root, Buffer.from(path), limit);
      return { entries: entries.toSorted((a, b) => a.name.compare(b.name)).map(entryView), more };
    },
    async makeDirectory(path, mode) {
      using root = rooted();
      return viewOf(path, makeDirectory(root, Buffer.from(path), mode));
    },
    async remove(path, { recursive }) {
      using root = rooted();
      await removeFile(root, Buffer.from(path), recursive);
    },
    async rename(from, to, how) {
      using root = rooted();
      renameFile(root, { from: Buffer.from(from), to: Buffer.from(to) }, how);
    },
  };
}

/** Closes the file when the last piece is taken, or nobody takes any more. */
async function* piecesOf(file: FileHandle, part: { offset: number; limitBytes: number }): AsyncGenerator<Uint8Array> {
  await using _ = file;
  let at = part.offset;
  for (let left = part.limitBytes; left > 0;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(left, pieceBytes)), 0, Math.min(left, pieceBytes), at);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
    left -= bytesRead;
  }
}

function viewOf(path: string, stats: Stats): FileView {
  return entryView({ name: Buffer.from(basename(path) || "/"), stats });
}

function entryView({ name, stats }: RootedEntry): FileView {
  return {
    ...nameOf(name),
    kind: kindOf(stats),
    sizeBytes: stats.size,
    mode: stats.mode & 0o7777,
    modifiedAt: stats.mtime.toISOString(),
  };
}

const pieceBytes = 256 * 1024;
