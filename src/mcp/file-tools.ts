import { z } from "zod";
import { isText, wholeCharacters } from "./bytes.ts";
import { guestArgument, tool, type Tool } from "./tool.ts";
import { SpecError } from "../base/errors.ts";
import { guestPath } from "../spec/guest-path.ts";

const defaultReadBytes = 256 * 1024;
const mostBytes = 1024 * 1024;

const fileRead = tool({
  name: "file_read",
  title: "Read a file in a guest",
  description:
    "Reads a plain file inside a guest, or a part of it. Text comes as text, anything else as a base64 resource. When the file goes on beyond what came, a second text says so, with the offset to go on from.",
  effect: "reads",
  input: z.strictObject({
    guest: guestArgument,
    path: guestPath,
    offset: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("bytes to pass over"),
    limit: z.number().int().min(1).max(mostBytes).default(defaultReadBytes).describe("bytes to read at most"),
  }),
  async run(client, { guest, path, offset, limit }, signal) {
    const answer = await client.bytes("file.read", { params: { name: guest }, query: { path, offset, limit } }, { signal });
    const parts: Uint8Array[] = [];
    for await (const part of answer) parts.push(part);
    const read = Buffer.concat(parts);
    const size = Math.max(Number(answer.headers["nexus-file-size"] ?? 0), offset + read.length);
    const trimmed = offset + read.length < size ? wholeCharacters(read) : read;
    const text = isText(trimmed) && (trimmed.length > 0 || read.length === 0);
    const bytes = text ? trimmed : read;
    const end = offset + bytes.length;
    const cut = end < size;
    const note =
      cut || offset > 0
        ? `bytes ${offset} to ${end} of ${size}${cut ? `; the file goes on: read again with offset ${end}` : ", the end of the file"}`
        : undefined;
    return {
      kind: "bytes",
      bytes,
      isText: text,
      uri: `nexus://${guest}${encodeURI(path)}`,
      note,
      data: { guest, path, size, offset, length: bytes.length, cut, ...(cut ? { next_offset: end } : {}) },
    };
  },
});

const fileWrite = tool({
  name: "file_write",
  title: "Write a file in a guest",
  description:
    "Writes a plain file inside a guest: replaces it whole in one step, keeping its owner, or makes it; or adds to its end. Give content for text or content_base64 for bytes, at most 1 MiB in one call.",
  effect: "destroys",
  input: z.strictObject({
    guest: guestArgument,
    path: guestPath,
    content: z.string().optional().describe("the text to write"),
    content_base64: z.base64().optional().describe("the bytes to write, in base64"),
    append: z.boolean().default(false).describe("add to the end instead of replacing"),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, { error: "must be three octal digits like 644" })
      .optional()
      .describe("permissions in octal, like 644"),
  }),
  async run(client, { guest, path, content, content_base64, append, mode }, signal) {
    if ((content === undefined) === (content_base64 === undefined))
      throw new SpecError([{ path: "content", problem: "give either content or content_base64" }]);
    const file = await client.call(
      "file.write",
      {
        params: { name: guest },
        body: {
          path,
          content: content_base64 ?? Buffer.from(content ?? "").toString("base64"),
          how: append ? "append" : "replace",
          sync: true,
          ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
        },
      },
      { signal },
    );
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

function octal(mode: number): string {
  return mode.toString(8).padStart(3, "0");
}

export const fileTools: readonly Tool[] = [fileRead, fileWrite, fileList, fileDelete];
