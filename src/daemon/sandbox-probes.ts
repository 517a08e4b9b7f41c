import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBubblewrapDriver } from "../guests/bubblewrap.ts";
import { createUserBubblewrapDriver } from "../guests/bubblewrap-user.ts";
import { chooseRuntime, runtimeCandidates } from "../guests/oci-runtime.ts";
import { createPodmanDriver } from "../guests/podman.ts";
import type { DoctorContext, SandboxProbe, SandboxRootReport } from "../host/doctor/report.ts";
import type { ImageStore } from "../images/store.ts";
import { findCgroups, removeEmptyCgroup } from "../kernel/cgroups.ts";
import { anonymousNamespace } from "../kernel/namespaces.ts";

type Probes = NonNullable<DoctorContext["probeSandboxes"]>;

/** Each driver of sandboxes tried, in the doctor's words; nothing is left of a trial. */
export function sandboxProbes(images: ImageStore, o: { user: boolean; sandboxRoot?: SandboxRootReport }): Probes {
  const root = o.sandboxRoot?.kind === "ready" ? o.sandboxRoot.directory : undefined;
  return {
    bubblewrap: () => (o.user ? probeUserBubblewrap(root) : probeBubblewrap(root)),
    podman: () => probePodman(images),
  };
}

async function probeBubblewrap(root: string | undefined): Promise<SandboxProbe> {
  const host = findCgroups();
  const cgroupParent = trialGroup();
  try {
    await using driver = createBubblewrapDriver({ namespaces: { takeOrMake: anonymousNamespace }, cgroups: host, cgroupParent });
    driver.follow(root);
    return await driver.check();
  } finally {
    removeEmptyCgroup(host, cgroupParent);
  }
}

async function probeUserBubblewrap(root: string | undefined): Promise<SandboxProbe> {
  const directory = mkdtempSync(join(tmpdir(), "nexus-doctor-"));
  try {
    await using driver = createUserBubblewrapDriver({ directory });
    driver.follow(root);
    return await driver.check();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function probePodman(images: ImageStore): Promise<SandboxProbe> {
  const cgroups = findCgroups();
  const cgroupParent = trialGroup();
  const directory = mkdtempSync(join(tmpdir(), "nexus-doctor-"));
  const mini = () => images.resolve("mini", () => undefined);
  try {
    const driver = createPodmanDriver({
      directory: join(directory, "podman"),
      image: mini,
      runtime: async () =>
        await chooseRuntime({
          directory: join(directory, "oci"),
          cgroups,
          cgroupParent,
          image: await mini(),
          candidates: runtimeCandidates(cgroups),
        }),
      cgroups,
      cgroupParent,
    });
    const found = await driver.check();
    const kind = process.getuid?.() === 0 ? "rootful" : "rootless";
    return found.works ? { works: true, detail: `${found.detail} ran a container (${kind})` } : found;
  } finally {
    removeEmptyCgroup(cgroups, cgroupParent);
    rmSync(directory, { recursive: true, force: true });
  }
}

function trialGroup(): string {
  return `/nexus-doctor-${process.pid}`;
}
