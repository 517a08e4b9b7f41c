import type { Context, Handlers } from "../api/contract.ts";
import type { Name } from "../base/names.ts";
import type { GuestFiles } from "../guests/guest-files.ts";

type FileOperations = Pick<Handlers, "file.stat" | "file.read" | "file.write" | "file.remove" | "file.rename" | "file.list" | "file.mkdir">;

/** The API's operations on files of guests. The log has who changed which path, and never what was in it. */
export function fileOperations(filesOf: (guest: Name) => GuestFiles): FileOperations {
  return {
    "file.stat": async ({ params, query }) => filesOf(params.name).stat(query.path),
    "file.read": async ({ params, query }) => {
      const { file, chunks } = await filesOf(params.name).read(query.path, { offset: query.offset, limitBytes: query.limit });
      const headers = { "nexus-file-size": String(file.sizeBytes), "nexus-file-mode": file.mode.toString(8) };
      return Object.assign(chunks, { headers });
    },
    "file.write": async ({ params, body }, context) => {
      const { path, content, ...how } = body;
      const written = await filesOf(params.name).write(path, { bytes: content, ...how });
      // A large file comes in many pieces, and is told of once.
      if (how.how !== "append") note(context, params.name, { path, bytes: written.sizeBytes }, "a file was written in a guest");
      return written;
    },
    "file.remove": async ({ params, query }, context) => {
      await filesOf(params.name).remove(query.path, query);
      note(context, params.name, query, "a file was removed in a guest");
      return { removed: [query.path] };
    },
    "file.rename": async ({ params, body }, context) => {
      const { path, to, ...how } = body;
      await filesOf(params.name).rename(path, to, how);
      note(context, params.name, { path, to }, "a file was renamed in a guest");
      return { removed: [path] };
    },
    "file.list": async ({ params, query }) => filesOf(params.name).list(query.path, query.limit),
    "file.mkdir": async ({ params, body }, context) => {
      const made = await filesOf(params.name).makeDirectory(body.path, body.mode);
      note(context, params.name, { path: body.path }, "a directory was made in a guest");
      return made;
    },
  };
}

function note({ log, peer }: Context, guest: Name, what: Record<string, unknown>, message: string): void {
  log.info({ uid: peer.uid, guest, ...what }, message);
}
