import { z } from "zod";
import { guestPath } from "../spec/guest-path.ts";

/** What is asked of the files of guests. */

/** The most bytes one request writes; more goes in several, each at the end of the last. */
export const writeLimit = 1024 * 1024;
/** Of the JSON around them: base64 takes four letters for three bytes, and a path may be escaped. */
export const writeBodyLimit = 1536 * 1024;
/** The most entries of one listing. */
export const listLimit = 65_536;

const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const mode = z.number().int().min(0).max(0o777).describe("permission bits; set-user-id and the like cannot be given");

export const statQuery = z.strictObject({ path: guestPath });

export const readQuery = z.strictObject({
  path: guestPath,
  offset: size.default(0).describe("bytes to pass over"),
  limit: size.optional().describe("bytes to give at most"),
});

export const writeBody = z.strictObject({
  path: guestPath,
  content: z
    .base64()
    .refine((text) => Buffer.byteLength(text, "base64") <= writeLimit, { error: `must have at most ${writeLimit} bytes, in base64` })
    .transform((text) => Buffer.from(text, "base64")),
  how: z.enum(["replace", "create", "append"]).default("replace"),
  mode: mode.optional(),
  sync: z.boolean().default(false).describe("answer when it is on the disk"),
});

export const removeQuery = z.strictObject({ path: guestPath, recursive: z.boolean().default(false) });

export const renameBody = z.strictObject({
  path: guestPath,
  to: guestPath,
  replace: z.boolean().default(false),
  follow: z.boolean().default(false).describe("replace what a link of the new name leads to, not the link"),
});

export const listQuery = z.strictObject({ path: guestPath, limit: z.number().int().min(1).max(listLimit).default(1000) });

export const mkdirBody = z.strictObject({ path: guestPath, mode: mode.default(0o755) });
