import { globSync } from "node:fs";

/** check and unit need nothing; the others need root and run each file in namespaces of its own. */
export const tierNames = ["check", "unit", "kernel", "guests", "e2e", "chaos", "vm"] as const;
export type Tier = (typeof tierNames)[number];

/** The test files of a tier, in a stable order. */
export function filesOf(tier: Exclude<Tier, "check">): string[] {
  const all = globSync("test/**/*.test.ts").toSorted();
  const own = (folder: string) => all.filter((file) => file.startsWith(`test/${folder}/`));
  if (tier !== "unit") return own(tier);
  return all.filter((file) => !tierNames.some((folder) => file.startsWith(`test/${folder}/`)));
}
