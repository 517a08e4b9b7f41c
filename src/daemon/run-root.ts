import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import type { ImageSource } from "../guests/rootfs.ts";
import type { SandboxDriver, SandboxPlan } from "../guests/sandbox.ts";
import type { RunSpec } from "../spec/run.ts";
import type { SandboxRoots } from "./sandbox-roots.ts";

/** What a run has around it. `env`: variables of an image, `NAME=value`. */
export type RunRoot = { name: string; root: SandboxPlan["root"]; env: readonly string[] };

/** What commands of the trusted profile find around them when they ask for nothing else. */
export const trustedImage = "mini";

/**
 * The root file system of a run, fetched when it is not here yet, for which it waits as long as it may take itself. An image is held
 * for it. @throws NexusError saying why there is none; the signal's reason
 */
export async function runRoot(
  asked: { kind: NonNullable<SandboxDriver["root"]>; run: string; spec: RunSpec; progress: (line: string) => void },
  from: { images: ImageSource; roots: SandboxRoots },
  signal: AbortSignal,
): Promise<RunRoot> {
  const { kind, run, spec, progress } = asked;
  const deadline = AbortSignal.timeout(spec.timeoutMs);
  const either = AbortSignal.any([signal, deadline]);
  let said: string | undefined;
  const say = (line: string): void => {
    said = line;
    progress(line);
  };
  try {
    switch (kind) {
      case "directory": {
        const { name, directory } = await from.roots.get(spec.rootfs, either, say);
        return { name, root: directory === undefined ? undefined : { lower: directory }, env: [] };
      }
      case "image": {
        const image = await from.images.resolve(spec.image ?? trustedImage, say, either);
        from.images.hold(image, run);
        return { name: image.reference, root: image, env: image.config.env };
      }
      default:
        return unreachable(kind);
    }
  } catch (error) {
    if (!deadline.aborted || signal.aborted) throw error;
    const what = kind === "image" ? `image ${spec.image ?? trustedImage}` : "the root file system of untrusted commands";
    throw new NexusError(
      "timeout",
      `${what} was not here within the ${spec.timeoutMs} ms of the run${said === undefined ? "" : `: ${said}`}`,
      {
        hint: "try again when it is here (`nexus events` tells), or give --timeout more",
        cause: error,
      },
    );
  }
}
