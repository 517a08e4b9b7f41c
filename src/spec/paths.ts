import { z } from "zod";
import { nameText } from "./text.ts";

export const absolutePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, "a path begins with /");

/** A path of the host, or a volume by its name. */
export const volumeSource = z
  .string()
  .describe("an absolute path, or the name of a volume")
  .transform((text, context): string => {
    const result = (text.startsWith("/") ? absolutePath : nameText).safeParse(text);
    if (result.success) return result.data;
    context.issues.push({ code: "custom", message: result.error.issues[0]?.message ?? "is no source", input: text });
    return z.NEVER;
  });
