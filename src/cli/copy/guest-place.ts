import { carriedMode, checkedName, type Entry, type Place, temporaryBeside } from "./place.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";
import type { FileView } from "../../spec/views.ts";

/** The inside of a guest, by the daemon. What it answers is the guest's word. */
export function guestPlace(client: Client, guest: string): Place {
  const params = { name: guest };
  const write = (body: { path: string; content: string; how: "replace" | "create" | "append"; mode?: number; sync: boolean }) =>
    client.call("file.write", { params, body });
  const rename = (from: string, to: string, replace: boolean) =>
    client.call("file.rename", { params, body: { path: from, to, replace, follow: replace } });
  return {
    shown: (path) => `${guest}:${path}`,
    async stat(path) {
      try {
        return entryOf(await client.call("file.stat", { params, query: { path } }));
      } catch (error) {
        if (error instanceof NexusError && error.code === "not-found" && error.details?.["errno"] === "ENOENT") return undefined;
        throw error;
      }
    },
    async list(path) {
      const { entries, more } = await client.call("file.list", { params, query: { path, limit: mostEntries } });
      if (more)
        throw new NexusError("too-large", `${guest}:${path} has more than ${mostEntries} entries`, { hint: "copy an archive of it" });
      return entries.map((entry) => ({ ...entryOf(entry), name: entry.nameBytes === undefined ? checkedName(entry.name) : "" }));
    },
    read: (path) => client.bytes("file.read", { params, query: { path } }),
    async write(path, chunks, mode) {
      const pieces = ofOneSize(chunks);
      const first: IteratorResult<Buffer, undefined> = await pieces.next();
      const second: IteratorResult<Buffer, undefined> = await pieces.next();
      const given = { mode: mode & carriedMode };
      const content = textOf(first.value);
      if (second.done === true) return void (await write({ path, content, how: "replace", sync: true, ...given }));
      const fresh = temporaryBeside(path);
      try {
        await write({ path: fresh, content, how: "create", sync: false, ...given });
        // One piece behind, so that the last is known to be the last.
        for (let piece: IteratorResult<Buffer, undefined> = second; piece.done !== true;) {
          const next = await pieces.next();
          await write({ path: fresh, content: textOf(piece.value), how: "append", sync: next.done === true });
          piece = next;
        }
        await rename(fresh, path, true);
      } catch (error) {
        await client.call("file.remove", { params, query: { path: fresh } }).catch(() => undefined);
        throw error;
      }
    },
    makeDirectory: async (path, mode) => void (await client.call("file.mkdir", { params, body: { path, mode: mode & carriedMode } })),
    rename: async (from, to) => void (await rename(from, to, false)),
    remove: async (path) => void (await client.call("file.remove", { params, query: { path, recursive: true } })),
  };
}

function entryOf({ name, kind, sizeBytes, mode }: FileView): Entry {
  return { name, kind, sizeBytes, mode };
}

/** The same bytes in pieces of the most one request may write. */
async function* ofOneSize(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, undefined> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    for (let rest = chunk; rest.length > 0;) {
      const taken = rest.subarray(0, pieceBytes - size);
      waiting.push(taken);
      size += taken.length;
      rest = rest.subarray(taken.length);
      if (size < pieceBytes) continue;
      yield Buffer.concat(waiting);
      waiting = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(waiting);
  return undefined;
}

function textOf(bytes: Buffer | undefined): string {
  return bytes?.toString("base64") ?? "";
}

const pieceBytes = 1024 * 1024;
const mostEntries = 65_536;
