import { z } from "zod";
import { pathBytes } from "./guest-path.ts";

/** A path in a facility, as it stands below the workspace: with or without a `/` before it. Comes out with one. */
export const facilityPath = z
  .string()
  .min(1)
  .refine((path) => !path.includes("\0"), { error: "must not have NUL characters" })
  .refine((path) => path.isWellFormed(), { error: "must be valid Unicode" })
  .refine((path) => Buffer.byteLength(path) < pathBytes, { error: `must have at most ${pathBytes - 1} bytes` })
  .transform((path) => (path.startsWith("/") ? path : `/${path}`))
  .describe("a path below the facility's directory");

/** Files of a facility: `*` and `?` within a name, `[a-z]`, and `**` for any directories. */
export const artifactGlob = z
  .string()
  .min(1)
  .max(1024)
  .refine((glob) => !glob.includes("\0") && !glob.split("/").includes(".."), { error: "must stay in the facility: no .." });
