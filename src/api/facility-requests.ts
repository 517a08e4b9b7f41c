import { z } from "zod";
import { readQuery, writeBody } from "./file-requests.ts";
import { artifactGlob, facilityPath } from "../spec/facility-path.ts";

/** What is asked of facilities. */

/** The most of a patch one request gives. */
export const patchLimit = 64 * 1024 * 1024;

export const diffQuery = z.strictObject({
  since: z
    .enum(["create", "run"])
    .default("create")
    .describe("compare with when it was made, or with when the last run that asked for it began"),
  limit: z
    .number()
    .int()
    .min(0)
    .max(patchLimit)
    .default(16 * 1024 * 1024)
    .describe("bytes of the patch at most; it then ends with the last whole file"),
});

export const artifactsBody = z.strictObject({
  globs: z.array(artifactGlob).min(1).max(256),
  files: z.number().int().min(1).max(100_000).default(10_000).describe("files at most"),
  bytes: z
    .number()
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .default(1024 ** 3)
    .describe("bytes of all together at most"),
});

export const facilityReadQuery = readQuery.extend({ path: facilityPath });
export const facilityWriteBody = writeBody.extend({ path: facilityPath });
