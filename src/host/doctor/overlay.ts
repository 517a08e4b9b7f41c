import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { loadModule } from "./modules.ts";
import type { OverlayAnswer } from "./overlay-worker.ts";
import type { Check } from "./report.ts";

/** Nodes get their root file system as an overlay, beside their state. Tried in a mount namespace of one thread, which ends with it. */
export const overlay: Check = {
  name: "overlay",
  needed: true,
  async probe(context) {
    using place = makePlace(context.stateDirectory);
    const answer = await tryIn(place.directory);
    if (answer === "works") return { ok: "ok", detail: `overlay file systems can be mounted below ${dirname(place.directory)}` };
    const detail = `overlay cannot be mounted below ${dirname(place.directory)}: ${answer.problem}`;
    if (answer.errno === "ENODEV") return { ok: "fail", detail, remedy: "modprobe overlay", fix: () => loadModule("overlay") };
    if (answer.errno === "EPERM") return { ok: "fail", detail, remedy: "run as root or with CAP_SYS_ADMIN" };
    return { ok: "fail", detail, remedy: "set state_dir to a directory on ext4, xfs or btrfs" };
  },
};

/** Where state is or will be: the file system decides whether it can carry an upper layer. */
function makePlace(stateDirectory: string): Disposable & { directory: string } {
  let parent = stateDirectory;
  while (!existsSync(parent) && dirname(parent) !== parent) parent = dirname(parent);
  const directory = makeDirectory(parent) ?? mkdtempSync(join(tmpdir(), ".nexus-doctor-"));
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A state directory that cannot be written is another check's finding. */
function makeDirectory(parent: string): string | undefined {
  try {
    return mkdtempSync(join(parent, ".nexus-doctor-"));
  } catch {
    return undefined;
  }
}

function tryIn(directory: string): Promise<OverlayAnswer> {
  const worker = new Worker(new URL("./overlay-worker.ts", import.meta.url), { workerData: { directory } });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("the thread that tries overlay ended without an answer")));
  });
}
