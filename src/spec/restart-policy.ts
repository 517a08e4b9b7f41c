import { z } from "zod";

/** `on-failure:3` starts a guest again three times at most after somebody started it. */
export const restartPolicy = z.union([
  z.enum(["no", "on-failure", "always", "unless-stopped"]),
  z.templateLiteral(["on-failure:", z.string().regex(/[1-9]\d{0,4}/)], '"on-failure:" with a number of times'),
]);
export type RestartPolicy = z.output<typeof restartPolicy>;

/** Whether a guest that ended by itself is started again; `restarts` counts how often it was. A guest the user stopped is not asked about. */
export function startsAgain(policy: RestartPolicy, ended: { exitCode: number; restarts: number }): boolean {
  const [word, times] = policy.split(":");
  if (word === "on-failure") return ended.exitCode !== 0 && (times === undefined || ended.restarts < Number(times));
  return word === "always" || word === "unless-stopped";
}
