import { z } from "zod";
import { portNumber } from "./text.ts";

/** How a guest's health is found out. `exec` and `shell` run in the guest, the others knock at its first address. */
export const probe = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("exec"), command: z.array(z.string().max(131072)).min(1).max(1024) }),
  z.strictObject({ kind: z.literal("shell"), script: z.string().min(1).max(131072) }),
  z.strictObject({ kind: z.literal("http"), port: portNumber, path: z.string().startsWith("/").max(4096) }),
  z.strictObject({ kind: z.literal("tcp"), port: portNumber }),
]);
export type Probe = z.output<typeof probe>;

const duration = z.number().int().min(0).max(86_400_000);

/** A guest is healthy after one success, and unhealthy after `retries` failures in a row, those of the start period left out. */
export const healthSpec = z.strictObject({
  probe,
  intervalMs: duration.min(100).default(30_000),
  timeoutMs: duration.min(100).default(30_000),
  retries: z.number().int().min(1).max(1000).default(3),
  startPeriodMs: duration.default(0),
});
export type HealthSpec = z.output<typeof healthSpec>;
