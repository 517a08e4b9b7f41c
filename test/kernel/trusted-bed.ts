import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseRuntime, runtimeCandidates } from "../../src/guests/oci-runtime.ts";
import { createPodmanDriver } from "../../src/guests/podman.ts";
import type { SandboxDriver, SandboxExit, SandboxPlan, SandboxProcess } from "../../src/guests/sandbox.ts";
import { createTrustedDriver } from "../../src/guests/trusted.ts";
import { ImageStore } from "../../src/images/store.ts";
import { findCgroups, removeCgroup } from "../../src/kernel/cgroups.ts";

/** The drivers of the trusted profile with a directory and a cgroup of their own. */
export class TrustedBed implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nexus-trusted-"));
  readonly cgroups = findCgroups();
  readonly cgroupParent = `/nexus-trusted-${process.pid}`;
  readonly images = new ImageStore({ directory: join(this.directory, "images") });
  readonly drivers: Record<"oci" | "podman", SandboxDriver>;
  #count = 0;

  constructor() {
    const { cgroups, cgroupParent, images } = this;
    const runtime = async () =>
      chooseRuntime({
        directory: join(this.directory, "oci"),
        cgroups,
        cgroupParent,
        image: await images.resolve("mini", () => undefined),
        candidates: runtimeCandidates(cgroups),
      });
    const image = () => images.resolve("mini");
    this.drivers = {
      oci: createTrustedDriver({ image, runtime, cgroups, cgroupParent }),
      podman: createPodmanDriver({ directory: join(this.directory, "podman"), image, runtime, cgroups, cgroupParent }),
    };
  }

  plan(command: [string, ...string[]], more: Partial<SandboxPlan> = {}): SandboxPlan {
    const id = `t${process.pid}-${++this.#count}`;
    return {
      id,
      command,
      env: { PATH: "/bin:/usr/bin", HOME: "/" },
      cwd: "/",
      limits: { memoryBytes: 64 << 20, cpus: 1, pids: 64, openFiles: 256, scratchBytes: 8 << 20 },
      egress: { kind: "none" },
      directory: join(this.directory, "runs", id),
      ...more,
    };
  }

  async run(driver: SandboxDriver, plan: SandboxPlan): Promise<SandboxExit & { out: string; err: string }> {
    await using started = await driver.start(plan, AbortSignal.timeout(60_000));
    const [out, err] = await Promise.all([text(started.stdout), started.stderr === undefined ? "" : text(started.stderr)]);
    return { ...(await started.exit), out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeCgroup(this.cgroups, this.cgroupParent);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function text(stream: SandboxProcess["stdout"]): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("latin1");
}
