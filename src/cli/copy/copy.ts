import { basename } from "node:path";
import { below, carriedMode, type Entry, type Place, plainName, temporaryBeside } from "./place.ts";
import { NexusError } from "../../base/errors.ts";

export type Copied = { files: number; bytes: number; leftOut: string[] };
type End = { place: Place; path: string };
type Work = { from: Place; to: Place; done: Copied; onProgress: OnProgress };
/** Which file is being copied, and how much has been in all. */
export type OnProgress = (what: string, bytes: number) => void;

/**
 * Copies a file or a directory with what is in it. Into a directory that is there it goes under its own name; a directory that is
 * there already is added to. Each file, and a directory that is new, is there whole or not at all. Links below a directory,
 * devices and the like are left out and named.
 * @throws NexusError not-found, wrong-state; what either place refuses
 */
export async function copy(source: End, destination: End, onProgress: OnProgress): Promise<Copied> {
  const found = await source.place.stat(source.path);
  if (found === undefined) throw new NexusError("not-found", `${source.place.shown(source.path)} is not there`);
  const work: Work = { from: source.place, to: destination.place, done: { files: 0, bytes: 0, leftOut: [] }, onProgress };
  const target = await targetOf(source, destination, found);
  switch (found.kind) {
    case "file":
      await copyFile(work, { from: source.path, to: target, entry: found });
      return work.done;
    case "directory":
      await copyDirectory(work, { from: source.path, to: target, entry: found });
      return work.done;
    case "link":
    case "pipe":
    case "socket":
    case "device":
      throw new NexusError("unsupported", `${source.place.shown(source.path)} is neither a file nor a directory`);
  }
}

/** A file's bytes as they come, telling how many have. */
export async function* counted(chunks: AsyncIterable<Uint8Array>, tell: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    tell(chunk.length);
    yield chunk;
  }
}

async function targetOf(source: End, destination: End, found: Entry): Promise<string> {
  const { place, path } = destination;
  const there = await place.stat(path);
  if (there?.kind === "directory") return below(path, basename(source.path) || found.name);
  if (path.endsWith("/")) {
    if (there === undefined && found.kind === "directory") return path.replace(/\/+$/, "");
    throw new NexusError(there === undefined ? "not-found" : "wrong-state", `${place.shown(path)} is no directory`);
  }
  return path;
}

type One = { from: string; to: string; entry: Entry };

async function copyFile({ from, to, done, onProgress }: Work, one: One): Promise<void> {
  const tell = (bytes: number) => {
    done.bytes += bytes;
    onProgress(from.shown(one.from), done.bytes);
  };
  await to.write(one.to, counted(await from.read(one.from), tell), one.entry.mode & carriedMode);
  done.files++;
}

async function copyDirectory(work: Work, one: One): Promise<void> {
  const { to } = work;
  const there = await to.stat(one.to);
  if (there?.kind === "directory") return await fill(work, one);
  if (there !== undefined) throw new NexusError("wrong-state", `${to.shown(one.to)} is there and is no directory`);
  const fresh = temporaryBeside(one.to);
  try {
    await to.makeDirectory(fresh, one.entry.mode);
    await fill(work, { ...one, to: fresh });
    await to.rename(fresh, one.to);
  } catch (error) {
    await to.remove(fresh).catch(() => undefined);
    throw error;
  }
}

async function fill(work: Work, { from, to }: One): Promise<void> {
  for (const entry of await work.from.list(from)) {
    const next = { from: below(from, entry.name), to: below(to, entry.name), entry };
    if (entry.name === "" || (entry.kind !== "file" && entry.kind !== "directory")) {
      work.done.leftOut.push(plainName(work.from.shown(entry.name === "" ? `${from}/(a name that is no text)` : next.from)));
    } else if (entry.kind === "file") await copyFile(work, next);
    else {
      // What a hostile side put in its place is not followed: only a real directory is gone into.
      const there = (await work.to.list(to)).find((other) => other.name === entry.name);
      if (there === undefined) await work.to.makeDirectory(next.to, entry.mode);
      else if (there.kind !== "directory") throw new NexusError("wrong-state", `${work.to.shown(next.to)} is there and is no directory`);
      await fill(work, next);
    }
  }
}
