import { z } from "zod";
import { isText, wholeCharacters } from "./bytes.ts";
import type { ToolAnswer } from "./tool.ts";
import type { ByteAnswer } from "../api/client.ts";
import { SpecError } from "../base/errors.ts";

const defaultReadBytes = 256 * 1024;
const mostBytes = 1024 * 1024;

/** Which part of a file is read. */
export const partArguments = {
  offset: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("bytes to pass over"),
  limit: z.number().int().min(1).max(mostBytes).default(defaultReadBytes).describe("bytes to read at most"),
};

/** What is written into a file, and how. */
export const contentArguments = {
  content: z.string().optional().describe("the text to write"),
  content_base64: z.base64().optional().describe("the bytes to write, in base64"),
  append: z.boolean().default(false).describe("add to the end instead of replacing"),
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, { error: "must be three octal digits like 644" })
    .optional()
    .describe("permissions in octal, like 644"),
};

type Content = { content?: string | undefined; content_base64?: string | undefined; append: boolean; mode?: string | undefined };

/** As the API takes it. @throws SpecError unless exactly one of the contents is given */
export function writtenBody({ content, content_base64, append, mode }: Content) {
  if ((content === undefined) === (content_base64 === undefined))
    throw new SpecError([{ path: "content", problem: "give either content or content_base64" }]);
  return {
    content: content_base64 ?? Buffer.from(content ?? "").toString("base64"),
    how: append ? ("append" as const) : ("replace" as const),
    sync: true,
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
  };
}

/** A part of a file as an answer: whole characters when it is text, with a sentence on which part it is and how to read on. */
export async function partAnswer(
  answer: ByteAnswer,
  { offset, uri, data }: { offset: number; uri: string; data: Record<string, unknown> },
): Promise<ToolAnswer> {
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
    uri,
    note,
    data: { ...data, size, offset, length: bytes.length, cut, ...(cut ? { next_offset: end } : {}) },
  };
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(3, "0");
}
