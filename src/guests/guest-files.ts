import type { FileView } from "../spec/views.ts";

/**
 * Files inside one guest, of whatever kind it is. Paths are absolute and mean what they mean inside; no link leads out. Answers are
 * the guest's word. Only plain files are read and written; set-user-id and the like are never given.
 * @throws NexusError everywhere: `not-found`, `name-taken`, `wrong-state`, `in-use`, `not-permitted`, `unsupported`
 */
export type GuestFiles = {
  /** Links are followed. */
  stat(path: string): Promise<FileView>;
  /** Rejects what cannot be read before anything is; then gives it in pieces, as fast as they are taken. */
  read(path: string, part: { offset: number; limitBytes?: number | undefined }): Promise<FileContent>;
  write(path: string, content: FileWrite): Promise<FileView>;
  /** Entries as they are, links not followed, sorted by name. */
  list(path: string, limit: number): Promise<{ entries: FileView[]; more: boolean }>;
  /** With those above it; one that is there is left as it is. */
  makeDirectory(path: string, mode: number): Promise<FileView>;
  /** A directory must be empty unless `recursive`. */
  remove(path: string, options: { recursive: boolean }): Promise<void>;
  /** A link of the new name is replaced itself, or with `follow` what it leads to. */
  rename(from: string, to: string, options: { replace: boolean; follow: boolean }): Promise<void>;
};

export type FileContent = { file: FileView; chunks: AsyncIterable<Uint8Array> };

export type FileWrite = {
  bytes: Uint8Array;
  /** replace: whole and in one step, made if absent. create: it must be absent. append: at its end, made if absent. */
  how: "replace" | "create" | "append";
  /** Permission bits; by default those it has, or 0644. */
  mode?: number | undefined;
  /** On the disk before the answer. */
  sync: boolean;
};

/** A name of bytes as text, and the bytes themselves when they are no text. */
export function nameOf(bytes: Uint8Array): Pick<FileView, "name" | "nameBytes"> {
  const name = Buffer.from(bytes).toString("utf8");
  return Buffer.from(name, "utf8").equals(bytes) ? { name } : { name, nameBytes: Buffer.from(bytes).toString("base64") };
}
