import { z } from "zod";

const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const host = `(?:\\[[0-9a-fA-F:]+\\]|${label}(?:\\.${label})*)(?::\\d{1,5})?`;
const part = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const shape = new RegExp(`^(?:${host}/)?${part}(?:/${part})*(?::${tag})?(?:@sha256:[0-9a-f]{64})?$`);

/**
 * `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`: what cannot name an image of any registry is refused here as misspelt, not later as an
 * image that is missing.
 */
export const imageReference = z
  .string()
  .min(1)
  .max(512)
  .regex(shape, { error: ({ input }) => `"${String(input)}" is no image reference like alpine:3.20 or registry.example.org/team/app:1.0` });
