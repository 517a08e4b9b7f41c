import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { loadModule } from "./modules.ts";
import type { OverlayAnswer } from "./overlay-worker.ts";
import { type Check, runAsRoot } from "./report.ts";
import { trialDirectory } from "./trial-directory.ts";

/** Nodes get their root file system as an overlay, beside their state. Tried in a mount namespace of one thread, which ends with it. */
export const overlay: Check = {
  name: "overlay",
  needed: true,
  async probe(context) {
    // The file system decides whether it can carry an upper layer.
    using place = trialDirectory(context.stateDirectory);
    const answer = await tryIn(place.directory);
    if (answer === "works") return { ok: "ok", detail: `overlay file systems can be mounted below ${dirname(place.directory)}` };
    const detail = `overlay cannot be mounted below ${dirname(place.directory)}: ${answer.problem}`;
    if (answer.errno === "ENODEV") return { ok: "fail", detail, remedy: "modprobe overlay", fix: () => loadModule("overlay") };
    if (answer.errno === "EPERM") return { ok: "fail", detail, remedy: runAsRoot };
    return { ok: "fail", detail, remedy: "set state_dir to a directory on ext4, xfs or btrfs" };
  },
};

function tryIn(directory: string): Promise<OverlayAnswer> {
  const worker = new Worker(new URL("./overlay-worker.ts", import.meta.url), { workerData: { directory } });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("the thread that tries overlay ended without an answer")));
  });
}
