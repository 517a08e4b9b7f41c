import type { z } from "zod";

/** A number of something: whatever lies outside is told the whole range and its unit, as in "4 to 4096 processes". */
export function ranged(number: z.ZodNumber, { least, most, said }: { least: number; most: number; said: string }): z.ZodNumber {
  const error = `must be ${said}`;
  return number.min(least, { error }).max(most, { error });
}
