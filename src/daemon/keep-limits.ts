import type { Log } from "../base/log.ts";
import type { GuestPlan } from "../guests/driver.ts";
import type { OciDriver } from "../guests/oci.ts";
import type { Chronicle } from "./chronicle.ts";

/** Puts back limits of running nodes that somebody changed, or out of whose group somebody moved them. */
export function keepLimits(
  plans: readonly GuestPlan[],
  { driver, chronicle, log }: { driver: OciDriver; chronicle: Chronicle; log: Log },
): void {
  for (const plan of plans) {
    try {
      const drifted = driver.limitsDrifted(plan);
      if (drifted.length === 0) continue;
      driver.repairLimits(plan);
      chronicle.tell({
        kind: "repaired",
        subject: plan.name,
        message: `limits of node ${plan.name} were changed and are put back: ${drifted.join("; ")}`,
      });
    } catch (error) {
      log.warn({ guest: plan.name, error: String(error) }, "limits of a node could not be put back");
    }
  }
}
