import { z } from "zod";
import { readBytes, readDuration, readMemory } from "../flags.ts";

/** What a compose file writes for numbers, sizes and times. Every one of them may be text too: a variable always is. */

/** A number within what `schema` allows. */
export function numeric<T extends z.ZodNumber>(schema: T) {
  return z.union([
    schema,
    z
      .string()
      .regex(/^-?\d{1,15}(\.\d{1,9})?$/, "must be a number")
      .transform(Number)
      .pipe(schema),
  ]);
}

/** `on` and `off`, as in `dhcp: off`, are text to YAML. */
export const flag = z.union([
  z.boolean(),
  z
    .string()
    .regex(/^(true|on|false|off)$/, "must be true or false")
    .transform((text) => text === "true" || text === "on"),
]);

/** MiB from a number of MiB, or a number with M, G or T (powers of 1,024). */
export const memoryText = parsed((text, wrong) => readMemory(text, wrong), "write MiB, or a number with M, G or T: 512, 512M, 2G");

/** Milliseconds from `90s`, `1m30s`, `500ms`, or a number of seconds. */
export const durationText = parsed((text, wrong) => readDuration(text, wrong), "write numbers with ms, s, m, h or d: 500ms, 10s, 1m30s");

/** Bytes from a number of bytes, or a number with K, M, G or T (powers of 1,024). */
export const bytesText = parsed(
  (text, wrong) => readBytes(text, () => wrong("it is no size")),
  "write a whole number, with K, M, G or T: 512M, 10G",
);

class Wrong extends Error {}

function parsed(parse: (text: string, wrong: (problem: string) => Error) => number, form: string) {
  return z.union([z.number().nonnegative(), z.string().max(64)]).transform((given, context): number => {
    try {
      return parse(String(given), (problem) => new Wrong(problem));
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      context.issues.push({ code: "custom", message: `"${given}": ${error.message}; ${form}`, input: given });
      return z.NEVER;
    }
  });
}

/** A refusal inside a transform: what `read` throws by `wrong` becomes the fault of the value. */
export function refused<T>(context: z.core.ParsePayload, read: (wrong: (problem: string) => Error) => T): T {
  try {
    return read((problem) => new Wrong(problem));
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    context.issues.push({ code: "custom", message: error.message, input: context.value });
    return z.NEVER;
  }
}
