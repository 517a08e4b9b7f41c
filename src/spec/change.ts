import { z } from "zod";
import { nodeSpec } from "./node.ts";
import { egressWish } from "./egress-wish.ts";
import { healthSpec } from "./health.ts";
import { labelSet } from "./labels.ts";
import { nameText } from "./text.ts";
import { vmSpec } from "./vm.ts";

/** What may change on a guest that is there; the rest needs it made anew. Which kind follows what is the daemon's to say. */
export const guestChange = z.strictObject({
  publish: nodeSpec.shape.publish.unwrap().optional(),
  restart: nodeSpec.shape.restart.unwrap().optional(),
  aliases: nodeSpec.shape.aliases.unwrap().optional(),
  /** By network; those that are not named keep theirs. */
  egress: z.record(nameText, egressWish).optional(),
  labels: labelSet.optional(),
  health: healthSpec.optional(),
  /** MiB; of a virtual machine at most what it began with, for the rest is given back by its balloon. */
  mem: nodeSpec.shape.mem,
  cpu: nodeSpec.shape.cpu,
  cpus: nodeSpec.shape.cpus,
  pids: nodeSpec.shape.pids,
  /** All of a virtual machine's: what is there and not here goes, what is here and not there comes, after those that stay. */
  networks: vmSpec.shape.networks.unwrap().optional(),
  /** Likewise; a disk that goes keeps what is on it. */
  disks: vmSpec.shape.disks.unwrap().optional(),
});
export type GuestChange = z.output<typeof guestChange>;
export type GuestChangeInput = z.input<typeof guestChange>;
