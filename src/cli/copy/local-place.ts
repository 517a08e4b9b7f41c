import type { Stats } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { carriedMode, type Entry, below, type Place, temporaryBeside } from "./place.ts";

/** This machine, with the rights of whoever typed the command. */
export const localPlace: Place = {
  shown: (path) => path,
  async stat(path) {
    try {
      return entryOf(basename(path), await stat(path));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  },
  async list(path) {
    const names = await readdir(path);
    return await Promise.all(names.map(async (name) => entryOf(name, await lstat(below(path, name)))));
  },
  async read(path) {
    const file = await open(path, "r");
    return file.createReadStream({ highWaterMark: pieceBytes });
  },
  async write(path, chunks, mode) {
    // A link is followed, as cp(1) does; what is new is where it is said to be.
    const target = await realpath(path).catch(() => path);
    const fresh = temporaryBeside(target);
    try {
      await using file = await open(fresh, "wx", 0o600);
      for await (const chunk of chunks) await file.writeFile(chunk);
      await file.chmod(mode & carriedMode);
      await file.sync();
      await rename(fresh, target);
    } catch (error) {
      await rm(fresh, { force: true });
      throw error;
    }
  },
  async makeDirectory(path, mode) {
    await mkdir(path);
    // Open to its owner, or nothing could be put in.
    await chmod(path, (mode & carriedMode) | 0o700);
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { recursive: true, force: true }),
};

function entryOf(name: string, stats: Stats): Entry {
  const kind = stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "device";
  return { name, kind, sizeBytes: stats.size, mode: stats.mode };
}

const pieceBytes = 256 * 1024;
