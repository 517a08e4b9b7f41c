import { z } from "zod";

/** The most bytes a path may have (PATH_MAX of linux/limits.h, with its NUL). */
export const pathBytes = 4095;

/** A path inside a guest: absolute, so that it means the same whoever asks. What lies there may be hostile; what it is, the guest's driver sees. */
export const guestPath = z
  .string()
  .refine((path) => path.startsWith("/"), { error: "must be absolute: begin with /" })
  .refine((path) => !path.includes("\0"), { error: "must not have NUL characters" })
  .refine((path) => path.isWellFormed(), { error: "must be valid Unicode" })
  .refine((path) => Buffer.byteLength(path) <= pathBytes, { error: `must have at most ${pathBytes} bytes` })
  .describe("an absolute path inside the guest");
