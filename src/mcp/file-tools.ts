import { z } from "zod";
import { contentArguments, octal, partAnswer, partArguments, writtenBody } from "./file-part.ts";
import { guestArgument, tool, type Tool } from "./tool.ts";
import { guestPath } from "../spec/guest-path.ts";

const fileRead = tool({
  name: "file_read",
  title: "Read a file in a guest",
  description:
    "Reads a plain file inside a guest, or a part of it. Text comes as text, anything else as a base64 resource. When the file goes on beyond what came, a second text says so, with the offset to go on from.",
  effect: "reads",
  input: z.strictObject({ guest: guestArgument, path: guestPath, ...partArguments }),
  async run(client, { guest, path, offset, limit }, signal) {
    const answer = await client.bytes("file.read", { params: { name: guest }, query: { path, offset, limit } }, { signal });
    return await partAnswer(answer, { offset, uri: `nexus://${guest}${encodeURI(path)}`, data: { guest, path } });
  },
});

const fileWrite = tool({
  name: "file_write",
  title: "Write a file in a guest",
  description:
    "Writes a plain file inside a guest: replaces it whole in one step, keeping its owner, or makes it; or adds to its end. Give content for text or content_base64 for bytes, at most 1 MiB in one call.",
  effect: "destroys",
  input: z.strictObject({ guest: guestArgument, path: guestPath, ...contentArguments }),
  async run(client, { guest, path, ...content }, signal) {
    const file = await client.call("file.write", { params: { name: guest }, body: { path, ...writtenBody(content) } }, { signal });
    return { kind: "data", data: { guest, path, size: file.sizeBytes, mode: octal(file.mode) } };
  },
});

const fileList = tool({
  name: "file_list",
  title: "List a directory in a guest",
  description:
    "Lists a directory inside a guest: name, kind, size in bytes, permissions and time of change of each entry; links are not followed.",
  effect: "reads",
  input: z.strictObject({
    guest: guestArgument,
    path: guestPath,
    limit: z.number().int().min(1).max(10_000).default(1000).describe("entries to give at most"),
  }),
  async run(client, { guest, path, limit }, signal) {
    const { entries, more } = await client.call("file.list", { params: { name: guest }, query: { path, limit } }, { signal });
    const shown = entries.map(({ name, nameBytes, kind, sizeBytes, mode, modifiedAt }) => ({
      name,
      ...(nameBytes === undefined ? {} : { name_base64: nameBytes }),
      kind,
      size: sizeBytes,
      mode: octal(mode),
      modified_at: modifiedAt,
    }));
    return { kind: "data", data: { guest, path, entries: shown, more } };
  },
});

const fileDelete = tool({
  name: "file_delete",
  title: "Delete a file in a guest",
  description: "Deletes a file, a link, or a directory inside a guest. A directory must be empty unless recursive is given.",
  effect: "destroys",
  input: z.strictObject({
    guest: guestArgument,
    path: guestPath,
    recursive: z.boolean().default(false).describe("with everything in it"),
  }),
  async run(client, { guest, path, recursive }, signal) {
    await client.call("file.remove", { params: { name: guest }, query: { path, recursive } }, { signal });
    return { kind: "data", data: { guest, deleted: path } };
  },
});

export const fileTools: readonly Tool[] = [fileRead, fileWrite, fileList, fileDelete];
