import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { KernelError } from "../../base/errors.ts";
import { mount, mountOverlay, unmount } from "../../kernel/mounts.ts";
import { unshare, unshareFlags } from "../../sys/mount.ts";

/** A worker thread: mounts an overlay where only this thread sees it, writes through it, and answers. */

export type OverlayAnswer = "works" | { errno: string | undefined; problem: string };

parentPort?.postMessage(answer((workerData as { directory: string }).directory));

function answer(directory: string): OverlayAnswer {
  try {
    // From here on this thread's mounts are its own; the kernel takes them off when it ends.
    unshare(unshareFlags.mounts);
    mount({ source: "none", target: "/", flags: ["recursive", "private"] });
    writeThrough(directory);
    return "works";
  } catch (error) {
    return {
      errno: error instanceof KernelError ? error.errno : undefined,
      problem: error instanceof Error ? error.message : String(error),
    };
  }
}

function writeThrough(directory: string): void {
  const [lower, upper, work, target] = ["lower", "upper", "work", "target"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const made of [lower, upper, work, target]) mkdirSync(made);
  writeFileSync(join(lower, "below"), "below");
  mountOverlay({ lower: [lower], upper, work, target });
  try {
    if (readFileSync(join(target, "below"), "utf8") !== "below") throw new Error("the lower layer does not show");
    writeFileSync(join(target, "above"), "above");
    if (!existsSync(join(upper, "above"))) throw new Error("writes do not reach the upper layer");
  } finally {
    unmount(target);
  }
}
