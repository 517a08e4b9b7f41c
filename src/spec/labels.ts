import { z } from "zod";

/** Words a client ties to an object and finds it by; the daemon keeps them and gives them no meaning. */
export const labelSet = z
  .record(
    z
      .string()
      .max(128)
      .regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/, 'a label has letters, digits, ".", "_", "/" and "-", not at the ends'),
    z.string().max(4096),
  )
  .refine((labels) => Object.keys(labels).length <= 64, "an object has at most 64 labels");

export type LabelSet = z.output<typeof labelSet>;
