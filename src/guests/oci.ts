import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { Ip } from "../base/ip.ts";
import { type ResourceLimits, readLimits } from "../kernel/cgroup-limits.ts";
import { type CgroupHost, findCgroups, killCgroup, listCgroups, removeCgroup, removeEmptyCgroup } from "../kernel/cgroups.ts";
import { isMounted, mount, mountOverlay } from "../kernel/mounts.ts";
import { type Pidfd, waitForExit } from "../kernel/processes.ts";
import type { NodeSpec } from "../spec/node.ts";
import type { GuestDriver, GuestPlan } from "./driver.ts";
import { defaultLogLimits, type LogLimits, readLog } from "./guest-log.ts";
import { writeNameFiles, writeNameservers } from "./name-files.ts";
import { type OciInput, writeOciConfig } from "./oci-config.ts";
import { execIn } from "./oci-exec.ts";
import { exitOf } from "./oci-exit.ts";
import { endRun, type Launch, launch, openInit } from "./oci-launch.ts";
import { layoutOf, type OciLayout } from "./oci-layout.ts";
import { containerFiles } from "./oci-files.ts";
import { containerCgroup, limitDrift, restoreLimits } from "./oci-limits.ts";
import { findInit, recordInit } from "./oci-process.ts";
import {
  cgroupVersion,
  chooseRuntime,
  forgetRuntime,
  probeRuntimes,
  runtimeCandidates,
  type RuntimeProbe,
  type TrialPlace,
} from "./oci-runtime.ts";
import { removeTree } from "./remove-tree.ts";
import type { ImageSource, RootImage } from "./rootfs.ts";
import { readExit, type RuntimeCommand, supervisorPid } from "./supervisor.ts";

export type OciOptions = {
  /** For trials of runtimes and what came of them. */
  directory: string;
  images: ImageSource;
  /** All guests' cgroups are below it. Two daemons on one host take two. */
  cgroupParent?: string;
  cgroups?: CgroupHost;
  /** Runtimes to try, best first; by default those known to work somewhere. */
  runtimes?: readonly RuntimeCommand[];
  /** Directories of guests, `<here>/<id>`; only `list` looks there. */
  guestsDirectory?: string;
  startDeadlineMs?: number;
  /** How much of a guest's output is kept. */
  log?: LogLimits;
};

export type OciDriver = GuestDriver & {
  /** Every runtime this host could use, tried. */
  probeRuntimes(): Promise<RuntimeProbe[]>;
  /** The program that runs a started guest. */
  runtimeOf(plan: GuestPlan): string | undefined;
  /** Changes the resolvers of a guest, also while it runs. */
  updateNameservers(plan: GuestPlan, nameservers: readonly Ip[], searchDomains: readonly string[]): void;
  /** In words, how the limits the kernel has for a running guest differ from those asked for; empty when they do not. */
  limitsDrifted(plan: GuestPlan): string[];
  /** Sets the limits of a running guest again. @throws NexusError `limit-refused` when they still do not hold */
  repairLimits(plan: GuestPlan): void;
};

/** Containers by an OCI runtime (crun or runc), one overlay on a shared read-only root file system each. */
export function createOciDriver(options: OciOptions): OciDriver {
  const cgroups = options.cgroups ?? findCgroups();
  const parent = options.cgroupParent ?? "/nexus";
  let chosen: Promise<RuntimeCommand> | undefined;

  const trialPlace = async (): Promise<TrialPlace> => ({
    directory: options.directory,
    cgroups,
    cgroupParent: parent,
    candidates: options.runtimes ?? runtimeCandidates(cgroups),
    image: await options.images.resolve("mini", () => undefined),
  });
  const runtime = (): Promise<RuntimeCommand> => {
    chosen ??= trialPlace().then(chooseRuntime);
    chosen.catch(() => (chosen = undefined));
    return chosen;
  };
  const place = (plan: Pick<GuestPlan, "id" | "directory">) => ({
    layout: layoutOf(plan.directory),
    cgroups,
    cgroup: `${parent}/${plan.id}`,
  });
  const inputOf = (plan: GuestPlan, image: RootImage): OciInput => {
    const { layout, cgroup } = place(plan);
    return {
      plan,
      layout,
      image: image.config,
      cgroupPath: containerCgroup(cgroup),
      cgroupVersion: cgroupVersion(cgroups),
      netns: plan.netns,
    };
  };
  const observe: OciDriver["observe"] = async (plan) => {
    const run = place(plan);
    for (;;) {
      const init = findInit(run.layout, run.cgroup);
      if (init !== undefined) {
        // The daemon may have gone between the start and the record.
        recordInit(run.layout, init);
        return { kind: "running", ...init, limits: readLimits(cgroups, run.cgroup, limitsOf(plan.spec)) };
      }
      if (!existsSync(run.layout.started)) return { kind: "absent" };
      const exit = await exitOf(run);
      if (exit !== undefined) return { kind: "exited", exit };
    }
  };

  return {
    async prepare(plan, progress) {
      const { layout } = place(plan);
      const image = await options.images.resolve(plan.spec.image, progress);
      mkdirSync(layout.directory, { recursive: true, mode: 0o700 });
      options.images.hold(image, plan.id);
      writeWhole(layout.image, JSON.stringify(image));
      mountRoot(layout, image);
      writeNameFiles(layout.etc, plan);
      writeOciConfig(inputOf(plan, image));
    },

    async start(plan) {
      const before = await observe(plan);
      if (before.kind === "running") return before;
      const run = place(plan);
      const image = preparedImage(run.layout, plan);
      mountRoot(run.layout, image);
      writeNameFiles(run.layout.etc, plan);
      writeOciConfig(inputOf(plan, image));
      const command = await runtime();
      const launched = await launchOrForget({
        ...run,
        id: plan.id,
        runtime: command,
        limits: limitsOf(plan.spec),
        netns: plan.netns,
        deadlineMs: options.startDeadlineMs ?? 15_000,
        log: options.log ?? defaultLogLimits,
      });
      if (launched.kind === "running") return { kind: "running", ...launched.init, limits: launched.limits };
      const exit = await exitOf(run);
      if (exit === undefined) throw new NexusError("internal", `container ${plan.id} both ended and runs`);
      return { kind: "exited", exit };
    },

    observe,

    async waitExit(plan, signal) {
      for (;;) {
        signal.throwIfAborted();
        const status = await observe(plan);
        if (status.kind === "exited") return status.exit;
        if (status.kind === "absent") throw new NexusError("wrong-state", `guest ${plan.name} was never started`);
        using init = openInit(place(plan));
        await init?.exited({ signal });
      }
    },

    async stop(plan, graceMs) {
      const run = place(plan);
      using process = openInit(run);
      if (process?.signal(sigterm) === true) await endedWithin(process, graceMs);
      if (findInit(run.layout, run.cgroup) !== undefined) writeFileSync(run.layout.killed, "");
      await endRun(run);
      await observe(plan);
    },

    async remove(plan) {
      const run = place(plan);
      await endRun(run);
      await killCgroup(cgroups, run.cgroup);
      removeCgroup(cgroups, run.cgroup);
      removeEmptyCgroup(cgroups, parent);
      await removeTree(plan.directory);
      options.images.release(plan.id);
    },

    async exec(plan, request) {
      const run = place(plan);
      if (findInit(run.layout, run.cgroup) === undefined) throw new NexusError("wrong-state", `guest ${plan.name} is not running`);
      return execIn(inputOf(plan, preparedImage(run.layout, plan)), startedWith(run.layout) ?? (await runtime()), request);
    },

    files: (plan) => containerFiles(plan.name, () => openInit(place(plan))),

    logs(plan, request) {
      const run = place(plan);
      // What a guest wrote last may still be on its way when it has ended; the exit status comes after all of it.
      const ended = (): boolean =>
        findInit(run.layout, run.cgroup) === undefined && (readExit(run.layout) !== undefined || supervisorPid(run.layout) === undefined);
      return readLog(run.layout.log, { ...request, ended });
    },

    async list() {
      const here = options.guestsDirectory;
      const prepared =
        here === undefined || !existsSync(here) ? [] : readdirSync(here).filter((id) => existsSync(layoutOf(join(here, id)).image));
      return [...new Set([...listCgroups(cgroups, parent), ...prepared])].filter((id) => !id.startsWith("trial-")).toSorted();
    },

    async probeRuntimes() {
      return probeRuntimes(await trialPlace());
    },

    runtimeOf: (plan) => startedWith(place(plan).layout)?.program,

    updateNameservers(plan, nameservers, searchDomains) {
      writeNameservers(place(plan).layout.etc, { nameservers, searchDomains });
    },

    limitsDrifted: (plan) => limitDrift({ ...place(plan), limits: limitsOf(plan.spec) }),

    repairLimits: (plan) => restoreLimits({ ...place(plan), limits: limitsOf(plan.spec) }),
  };

  async function launchOrForget(run: Launch): ReturnType<typeof launch> {
    writeWhole(run.layout.started, JSON.stringify({ runtime: run.runtime, limits: run.limits }));
    try {
      return await launch(run);
    } catch (error) {
      rmSync(run.layout.started, { force: true });
      // Perhaps the host changed below a remembered choice: the next start tries the candidates again.
      if (!(error instanceof NexusError && error.code === "limit-refused")) {
        forgetRuntime(options.directory);
        chosen = undefined;
      }
      throw error;
    }
  }
}

/** What of a request the kernel is to hold the guest to. */
export function limitsOf(spec: NodeSpec): ResourceLimits {
  return {
    ...(spec.mem === undefined ? {} : { memoryBytes: spec.mem * 1024 * 1024 }),
    ...(spec.cpu === undefined ? {} : { cpuShares: spec.cpu }),
    ...(spec.cpus === undefined ? {} : { cpus: spec.cpus }),
    ...(spec.pids === undefined ? {} : { pids: spec.pids }),
  };
}

const sigterm = 15;

function mountRoot(layout: OciLayout, image: RootImage): void {
  for (const directory of [layout.rootfs, layout.upper, layout.work]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  if (isMounted(layout.rootfs)) return;
  mountOverlay({ lower: [image.lower], upper: layout.upper, work: layout.work, target: layout.rootfs });
  // Images may hold device nodes; those a guest is to have are on its /dev.
  mount({ source: "none", target: layout.rootfs, flags: ["remount", "bind", "noDev"] });
}

function preparedImage(layout: OciLayout, plan: GuestPlan): RootImage {
  try {
    return JSON.parse(readFileSync(layout.image, "utf8")) as RootImage;
  } catch (error) {
    throw new NexusError("wrong-state", `guest ${plan.name} was not prepared`, { cause: error });
  }
}

function startedWith(layout: OciLayout): RuntimeCommand | undefined {
  try {
    return (JSON.parse(readFileSync(layout.started, "utf8")) as { runtime: RuntimeCommand }).runtime;
  } catch {
    return undefined;
  }
}

async function endedWithin(process: Pidfd, graceMs: number): Promise<void> {
  try {
    await waitForExit(process, { timeoutMs: graceMs });
  } catch (error) {
    if (!(error instanceof NexusError) || error.code !== "timeout") throw error;
  }
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
