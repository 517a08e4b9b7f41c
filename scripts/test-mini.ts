import { join } from "node:path";
import { buildSandboxVm } from "../src/images/sandbox-vm.ts";
import { buildMiniVm } from "../src/images/vm-mini.ts";
import { runStep } from "./run-step.ts";

/** The cache that test daemons are given as NEXUS_CACHE_DIR; it is below the checkout, so that a fresh clone begins with an empty one. */
export const testCache = join(import.meta.dirname, "../node_modules/.cache/nexus-vm");

/** Where the tests' mini virtual machine is, as a daemon with that cache keeps it. */
export const testMini = join(testCache, "vm/mini");

/** The same for the virtual machine that runs one command. */
export const testSandboxVm = join(testCache, "vm/sandbox");

/**
 * Builds the virtual machines of the tests before any of them runs: they are made of 31 MB of Debian packages, and tests
 * run where no archive can be reached. Fresh lists are fetched when apt has none. Tests that need it fail when this did.
 */
export async function prepareMini(say: (line: string) => void): Promise<void> {
  const progress = (line: string): void => say(`set-up: ${line}`);
  const build = async (): Promise<void> => {
    await buildMiniVm({ directory: testMini, progress });
    await buildSandboxVm({ directory: testSandboxVm, packages: join(testMini, "packages"), progress });
  };
  try {
    await build();
  } catch {
    say("set-up: apt-get update, for the mini virtual machine");
    await runStep("apt-get update", ["apt-get", "update", "-q"], { deadlineMs: 300_000 });
    await build().catch((error: unknown) => say(`set-up: there is no mini virtual machine: ${String(error)}`));
  }
}
