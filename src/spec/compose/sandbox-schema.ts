import { z } from "zod";
import { runNet, runSpec } from "../run.ts";
import { common } from "./guest-schema.ts";
import { bytesText, durationText, memoryText, numeric } from "./values.ts";

/** A sandboxed run as a compose file writes it. `profile` says how far the command is trusted, `profiles` when it is on. */
export const sandboxEntry = z.strictObject({
  /** A list is taken as it is; text is split at spaces, with quotes as in a shell. */
  command: z.union([z.string(), z.array(z.string())]),
  profile: runSpec.shape.profile,
  driver: runSpec.shape.driver,
  image: runSpec.shape.image,
  /** `host`, `auto`, an address with its sum, or a path, meant from the file. */
  rootfs: z.string().min(1).max(4096).optional(),
  net: runNet.shape.mode,
  allow: runNet.shape.allow,
  /** A facility by its name, or a directory: with a slash or a dot in front. */
  facility: z.string().min(1).max(4096).optional(),
  cwd: runSpec.shape.cwd,
  timeout: durationText.optional(),
  memory: memoryText.optional(),
  cpus: numeric(runSpec.shape.cpus.unwrap()).optional(),
  pids: numeric(runSpec.shape.pids.unwrap()).optional(),
  disk: bytesText.optional(),
  output_limit: bytesText.optional(),
  ...common,
});
export type SandboxEntry = z.output<typeof sandboxEntry>;
