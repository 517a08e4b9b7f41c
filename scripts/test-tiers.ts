import { globSync } from "node:fs";

/**
 * check and unit need nothing; the others need root and run each file in namespaces of its own. debian boots a whole distribution:
 * three minutes and 450 MB to build it, once, and where processors are emulated three minutes and more for its two boots, beside e2e.
 * systemd wants a host with systemd and cgroup v2 alone, and changes it: it runs only where it is asked for (systemd-host.ts).
 */
export const tierNames = ["check", "unit", "kernel", "guests", "e2e", "chaos", "vm", "debian", "systemd"] as const;
export type Tier = (typeof tierNames)[number];

/** The test files of a tier, in a stable order. */
export function filesOf(tier: Exclude<Tier, "check">): string[] {
  const all = globSync("test/**/*.test.ts").toSorted();
  const own = (folder: string) => all.filter((file) => file.startsWith(`test/${folder}/`));
  if (tier !== "unit") return own(tier);
  return all.filter((file) => !tierNames.some((folder) => file.startsWith(`test/${folder}/`)));
}
