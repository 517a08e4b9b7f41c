import { existsSync } from "node:fs";
import { join } from "node:path";
import { createOciDriver, type OciDriver } from "../guests/oci.ts";
import { createQemuDriver, type QemuDriver } from "../guests/qemu.ts";
import type { DoctorReport, MachineProbe, RuntimeProbe } from "../host/doctor/report.ts";
import { runDoctor } from "../host/doctor/run.ts";
import { trialDirectory } from "../host/doctor/trial-directory.ts";
import { ImageStore } from "../images/store.ts";
import { mayAdministerNetworks } from "../kernel/rights.ts";
import type { Prefix } from "../base/prefix.ts";
import { type Config, placesOf } from "../spec/config.ts";
import type { Surroundings } from "../spec/places.ts";
import { sandboxProbes } from "./sandbox-probes.ts";
import { rootfsCache, rootReport } from "./sandbox-roots.ts";

/** The doctor without a daemon: for hosts on which none can start. Looks only at what is configured, and leaves no state where no daemon ever ran. */
export async function examine(config: Config, surroundings: Surroundings, options: { fix: boolean }): Promise<DoctorReport> {
  const places = placesOf(config, surroundings);
  const { bridge_name: bridge, subnet } = config.network;
  const prefixes: Prefix[] = subnet === "auto" ? [] : [subnet];
  using trial = trialDirectory(places.stateDir);
  const place = existsSync(join(places.stateDir, "images")) ? places.stateDir : trial.directory;
  const images = new ImageStore({ directory: join(place, "images") });
  const driver = createOciDriver({ directory: join(place, "runtime"), images });
  const sandboxRoot = await rootReport(config.sandbox, rootfsCache(places));
  const user = surroundings.uid !== 0 && !mayAdministerNetworks();
  return await runDoctor(
    {
      stateDirectory: places.stateDir,
      socketPath: places.socket,
      networks: [{ name: "default", bridge, prefixes }],
      probeRuntimes: () => runtimeProbes(driver),
      probeMachines: () => machineProbe(createQemuDriver({ directory: trial.directory, images: noImages })),
      sandboxRoot,
      probeSandboxes: sandboxProbes(images, { user, sandboxRoot }),
      ...(user ? { user: { uid: surroundings.uid } } : {}),
    },
    options,
  );
}

/** Every runtime tried, in the doctor's words. */
export async function runtimeProbes(driver: OciDriver): Promise<RuntimeProbe[]> {
  const probes = await driver.probeRuntimes();
  return probes.map(({ runtime, version, result }) => ({
    name: runtime.cover === undefined ? runtime.program : `${runtime.program} with ${runtime.cover} covered`,
    works: result.kind === "works",
    ...(version === undefined ? {} : { version }),
    ...(result.kind === "works" ? {} : { problem: result.kind === "absent" ? "not installed" : result.problem }),
  }));
}

/** QEMU tried, in the doctor's words. @throws NexusError runtime-missing */
export async function machineProbe(driver: QemuDriver): Promise<MachineProbe> {
  const { program, accel, virtiofsd } = await driver.probe();
  const { version, sandbox } = program;
  return {
    version: `${version.major}.${version.minor}`,
    acceleration: accel,
    ...(sandbox.kind === "off" ? { unfiltered: sandbox.why } : {}),
    ...(virtiofsd.kind === "unusable" ? { noVirtiofs: `${virtiofsd.why} (${virtiofsd.hint})` } : {}),
  };
}

/** A probe needs none. */
const noImages = { resolve: () => Promise.reject(new TypeError("a probe needs no image")), hold() {}, release() {} };
