import { z } from "zod";
import { labelSet } from "./labels.ts";
import { repositoryRef, repositoryUrl } from "./repository.ts";
import { nameText } from "./text.ts";
import { sizeText } from "./vm.ts";

/** The smallest a facility can be: a file system needs room for itself. */
export const smallestFacility = 16 * 1024 * 1024;

/** What a user asks of a facility: a directory that commands in sandboxes work in, and that outlives them. */
export const facilitySpec = z.strictObject({
  name: nameText,
  /** The most its files may take. */
  size: sizeText.refine((bytes) => bytes >= smallestFacility, { error: "must be at least 16M" }).prefault("1G"),
  /** A repository it begins with. */
  clone: z.strictObject({ url: repositoryUrl, ref: repositoryRef.optional() }).optional(),
  labels: labelSet.default({}),
});
export type FacilitySpec = z.output<typeof facilitySpec>;

/** For the clone alone, and never kept. What a server calls a token is the password. */
export const cloneCredential = z.strictObject({
  username: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[^\n\r\0]*$/, "must be one line")
    .default("git"),
  password: z
    .string()
    .min(1)
    .max(16_384)
    .regex(/^[^\n\r\0]*$/, "must be one line"),
});
export type CloneCredential = z.output<typeof cloneCredential>;

/** The spec, and what is needed once to make it. */
export const facilityRequest = facilitySpec.extend({ credential: cloneCredential.optional() });
