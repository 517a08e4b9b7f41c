import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/** Where the mini image that benchmarks boot is built, once. */
export const miniDirectory = join(import.meta.dirname, "../node_modules/.cache/nexus-vm/vm/mini");

/** Gives a daemon that is about to start that image. */
export function furnishMini(stateDirectory: string): void {
  mkdirSync(stateDirectory, { mode: 0o700 });
  symlinkSync(miniDirectory, join(stateDirectory, "vm-images"));
}
