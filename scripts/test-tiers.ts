import { globSync } from "node:fs";

/** check and unit need nothing; the others need root and run each file in namespaces of its own. */
export const tierNames = ["check", "unit", "kernel", "guests", "e2e", "chaos", "vm"] as const;
export type Tier = (typeof tierNames)[number];

/**
 * Runs only when named: `npm test -- --tier vm`. No command reaches virtual machines yet, and where they are emulated on a busy
 * machine, these tests have missed their deadlines. The change that makes them reachable has to end that, and this exception.
 */
export const onRequest: ReadonlySet<Tier> = new Set(["vm"]);

/** The test files of a tier, in a stable order. */
export function filesOf(tier: Exclude<Tier, "check">): string[] {
  const all = globSync("test/**/*.test.ts").toSorted();
  const own = (folder: string) => all.filter((file) => file.startsWith(`test/${folder}/`));
  if (tier !== "unit") return own(tier);
  return all.filter((file) => !tierNames.some((folder) => file.startsWith(`test/${folder}/`)));
}
