import { join } from "node:path";
import { buildMiniVm } from "../src/images/vm-mini.ts";
import { runStep } from "./run-step.ts";

/** The cache that test daemons are given as NEXUS_CACHE_DIR; it is below the checkout, so that a fresh clone begins with an empty one. */
export const testCache = join(import.meta.dirname, "../node_modules/.cache/nexus-vm");

/** Where the tests' mini virtual machine is, as a daemon with that cache keeps it. */
export const testMini = join(testCache, "vm/mini");

/**
 * Builds the mini virtual machine of the tests before any of them runs: it is made of 31 MB of Debian packages, and tests
 * run where no archive can be reached. Fresh lists are fetched when apt has none. Tests that need it fail when this did.
 */
export async function prepareMini(say: (line: string) => void): Promise<void> {
  const build = () => buildMiniVm({ directory: testMini, progress: (line) => say(`set-up: ${line}`) });
  try {
    await build();
  } catch {
    say("set-up: apt-get update, for the mini virtual machine");
    await runStep("apt-get update", ["apt-get", "update", "-q"], { deadlineMs: 300_000 });
    await build().catch((error: unknown) => say(`set-up: there is no mini virtual machine: ${String(error)}`));
  }
}
