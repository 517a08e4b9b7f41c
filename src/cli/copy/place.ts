import { NexusError } from "../../base/errors.ts";
import type { FileKind } from "../../spec/views.ts";

/** What is at a path of a place, as far as copying cares. */
export type Entry = { name: string; kind: FileKind; sizeBytes: number; mode: number };

/** Somewhere files are: this machine, or the inside of a guest. Paths are that place's own. */
export type Place = {
  /** A path as the user would write it. */
  shown(path: string): string;
  /** Links are followed; undefined when nothing is there. */
  stat(path: string): Promise<Entry | undefined>;
  /** Links are listed as links. */
  list(path: string): Promise<Entry[]>;
  read(path: string): Promise<AsyncIterable<Uint8Array>>;
  /** Whole or not at all: under another name until the last byte is on the disk. */
  write(path: string, chunks: AsyncIterable<Uint8Array>, mode: number): Promise<void>;
  makeDirectory(path: string, mode: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** With everything below. */
  remove(path: string): Promise<void>;
};

/** A name beside the real one that nobody else uses. */
export function temporaryBeside(path: string): string {
  const cut = path.lastIndexOf("/") + 1;
  return `${path.slice(0, cut)}.nexus-${crypto.randomUUID()}`;
}

export function below(directory: string, name: string): string {
  return directory.endsWith("/") ? `${directory}${name}` : `${directory}/${name}`;
}

/** Permissions that are carried along: never set-user-id and the like, with which a copied file would act for its new owner. */
export const carriedMode = 0o777;

/** A name that came from elsewhere must be a name, and no way out of the directory it is put in. @throws NexusError wire-invalid */
export function checkedName(name: string): string {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name))
    throw new NexusError("wire-invalid", `the guest lists a file named ${JSON.stringify(name)}, which no file can be called`);
  return name;
}

/** Control characters in names must not reach a terminal. */
export function plainName(name: string): string {
  return name.replace(/\p{Cc}/gu, "\u{fffd}");
}
