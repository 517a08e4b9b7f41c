import { z } from "zod";
import { nodeSpec } from "./node.ts";
import { healthSpec } from "./health.ts";
import { labelSet } from "./labels.ts";

/** What may change on a guest that is there; the rest needs it made anew. Which kind follows what is the daemon's to say. */
export const guestChange = z.strictObject({
  publish: nodeSpec.shape.publish.unwrap().optional(),
  restart: nodeSpec.shape.restart.unwrap().optional(),
  aliases: nodeSpec.shape.aliases.unwrap().optional(),
  labels: labelSet.optional(),
  health: healthSpec.optional(),
  /** MiB; of a virtual machine at most what it began with, for the rest is given back by its balloon. */
  mem: nodeSpec.shape.mem,
  cpu: nodeSpec.shape.cpu,
  cpus: nodeSpec.shape.cpus,
  pids: nodeSpec.shape.pids,
});
export type GuestChange = z.output<typeof guestChange>;
