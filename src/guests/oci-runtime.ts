import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import { unreachable } from "../base/exhaustive.ts";
import type { Name } from "../base/names.ts";
import { type CgroupHost, controllerDirectory, removeCgroup } from "../kernel/cgroups.ts";
import { watchDirectory } from "./directory-changes.ts";
import type { GuestPlan } from "./driver.ts";
import { defaultLogLimits } from "./guest-log.ts";
import { writeNameFiles } from "./name-files.ts";
import { writeOciConfig } from "./oci-config.ts";
import { containerCgroup } from "./oci-limits.ts";
import { endRun, launch, runtimeErrors } from "./oci-launch.ts";
import { layoutOf, type OciLayout } from "./oci-layout.ts";
import { readExit, type RuntimeCommand, runtimeEnvironment } from "./supervisor.ts";
import type { RootImage } from "./rootfs.ts";

/** Where a trial happens and what it needs. */
export type TrialPlace = {
  /** A directory of ours to work in. */
  directory: string;
  cgroups: CgroupHost;
  /** The group all guests are below, `/nexus`. */
  cgroupParent: string;
  /** A root file system with `true` in it. */
  image: RootImage;
  /** What to try, best first. */
  candidates: readonly RuntimeCommand[];
};

/** One way to run containers and how it went: for `doctor`. */
export type RuntimeProbe = {
  runtime: RuntimeCommand;
  /** As the program states it; absent when it is not installed. */
  version?: string;
  result: { kind: "works"; milliseconds: number } | { kind: "fails"; problem: string } | { kind: "absent" };
};

/**
 * The runtimes worth trying here, best first: crun before runc, for it starts in a third of the time. Where cgroup v1 and
 * v2 are mounted together crun refuses to run, but takes the host for a v1 one when the v2 tree is covered.
 */
export function runtimeCandidates(cgroups: CgroupHost): RuntimeCommand[] {
  const covered = cgroups.mode === "hybrid" && cgroups.unified !== undefined ? [{ program: "crun", cover: cgroups.unified }] : [];
  return [{ program: "crun" }, ...covered, { program: "runc" }];
}

/** Tries every candidate by running a container under limits with it. */
export async function probeRuntimes(place: TrialPlace): Promise<RuntimeProbe[]> {
  const probes: RuntimeProbe[] = [];
  for (const runtime of place.candidates) probes.push(await tryRuntime(runtime, place));
  return probes;
}

/**
 * The first candidate that works, remembered in `runtime.json` of the directory until the machine boots anew or a program
 * or the cgroup trees change.
 * @throws NexusError `runtime-missing` with every candidate's own words
 */
export async function chooseRuntime(place: TrialPlace): Promise<RuntimeCommand> {
  const memory = join(place.directory, "runtime.json");
  const key = circumstances(place);
  const known = recall(memory, key);
  if (known !== undefined) return known;
  await endLostTrials(place);
  const probes: RuntimeProbe[] = [];
  for (const runtime of place.candidates) {
    const probe = await tryRuntime(runtime, place);
    if (probe.result.kind === "works") {
      mkdirSync(place.directory, { recursive: true });
      writeFileSync(`${memory}.new`, JSON.stringify({ key, runtime }));
      renameSync(`${memory}.new`, memory);
      return runtime;
    }
    probes.push(probe);
  }
  throw new NexusError("runtime-missing", `no OCI runtime works here: ${probes.map(probeSentence).join("; ")}`, {
    hint: "install crun or runc",
    details: { probes },
  });
}

/** Makes the next choice try again: to be called when a start failed for a reason that is the runtime's. */
export function forgetRuntime(directory: string): void {
  rmSync(join(directory, "runtime.json"), { force: true });
}

export function probeSentence({ runtime, result }: RuntimeProbe): string {
  const name = runtime.cover === undefined ? runtime.program : `${runtime.program} with ${runtime.cover} covered`;
  switch (result.kind) {
    case "works":
      return `${name} works (${result.milliseconds.toFixed(0)} ms)`;
    case "fails":
      return `${name}: ${result.problem}`;
    case "absent":
      return `${name} is not installed`;
    default:
      return unreachable(result);
  }
}

async function tryRuntime(runtime: RuntimeCommand, place: TrialPlace): Promise<RuntimeProbe> {
  const program = programPath(runtime.program);
  if (program === undefined) return { runtime, result: { kind: "absent" } };
  const version =
    spawnSync(program, ["--version"], { encoding: "utf8", env: runtimeEnvironment(), timeout: 5000 }).stdout?.split("\n", 1)[0] ?? "";
  mkdirSync(place.directory, { recursive: true });
  const id = basename(mkdtempSync(join(place.directory, `trial-${process.pid}-`)));
  const trial = trialOf(place, id);
  const { layout, cgroup } = trial;
  const run = {
    ...trial,
    id,
    runtime,
    limits: trialLimits(place.cgroups),
    netns: undefined,
    deadlineMs: 10_000,
    log: defaultLogLimits,
  };
  const began = performance.now();
  try {
    const plan = trialPlan(id, layout.directory);
    writeNameFiles(layout.etc, plan);
    writeOciConfig({
      plan,
      layout,
      image: place.image.config,
      cgroupPath: containerCgroup(cgroup),
      cgroupVersion: cgroupVersion(place.cgroups),
      netns: undefined,
      sharedRoot: place.image.lower,
    });
    await launch(run);
    const milliseconds = performance.now() - began;
    const exit = await untilExit(layout);
    if (exit?.code !== 0) throw new Error(`"true" ended with ${exit?.code ?? "no status"} ${runtimeErrors(layout).join("; ")}`);
    return { runtime, version, result: { kind: "works", milliseconds } };
  } catch (error) {
    return { runtime, version, result: { kind: "fails", problem: error instanceof Error ? error.message : String(error) } };
  } finally {
    await endTrial(trial);
  }
}

type Trial = { layout: OciLayout; cgroups: CgroupHost; cgroup: string };

function trialOf({ directory, cgroups, cgroupParent }: TrialPlace, id: string): Trial {
  return { layout: layoutOf(join(directory, id)), cgroups, cgroup: `${cgroupParent}/${id}` };
}

async function endTrial(trial: Trial): Promise<void> {
  await endRun(trial);
  removeCgroup(trial.cgroups, trial.cgroup);
  rmSync(trial.layout.directory, { recursive: true, force: true });
}

/** Those of a process that was killed meanwhile. */
async function endLostTrials(place: TrialPlace): Promise<void> {
  const names = existsSync(place.directory) ? readdirSync(place.directory) : [];
  for (const name of names) {
    const pid = /^trial-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await endTrial(trialOf(place, name));
  }
}

async function untilExit(layout: OciLayout): Promise<{ code: number } | undefined> {
  using changes = watchDirectory(layout.directory);
  const end = performance.now() + 5000;
  while (readExit(layout) === undefined && performance.now() < end) await changes.next(100);
  return readExit(layout);
}

/** Which cgroup version a container sees the memory controller in. */
export function cgroupVersion(cgroups: CgroupHost): 1 | 2 {
  return controllerDirectory(cgroups, "memory", "/")?.version ?? (cgroups.mode === "v2" ? 2 : 1);
}

function trialLimits(cgroups: CgroupHost) {
  const has = (controller: "memory" | "pids"): boolean => controllerDirectory(cgroups, controller, "/") !== undefined;
  return { ...(has("memory") ? { memoryBytes: 64 * 1024 * 1024 } : {}), ...(has("pids") ? { pids: 64 } : {}) };
}

function trialPlan(id: string, directory: string): GuestPlan {
  const name = "trial" as Name;
  return {
    id,
    name,
    spec: { name, image: "mini", command: ["true"], env: {}, publish: [], restart: "no", volumes: [], aliases: [], labels: {} },
    netns: "",
    volumes: [],
    directory,
    hostname: "trial",
    nameservers: [],
    searchDomains: [],
    hosts: [],
  };
}

/** What the outcome of a trial depends on. */
function circumstances({ cgroups, candidates }: TrialPlace): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const programs = candidates.map(({ program, cover }) => {
    const path = programPath(program);
    if (path === undefined) return `${program}:none`;
    const stat = statSync(path);
    return `${path}:${stat.size}:${stat.mtimeMs}:${cover ?? ""}`;
  });
  return [boot, cgroups.mode, cgroups.unified ?? "", ...cgroups.legacy.keys(), ...programs].join("|");
}

function recall(file: string, key: string): RuntimeCommand | undefined {
  try {
    const value = JSON.parse(readFileSync(file, "utf8")) as { key?: unknown; runtime?: { program?: unknown; cover?: unknown } };
    const { program, cover } = value.runtime ?? {};
    if (value.key !== key || typeof program !== "string") return undefined;
    return typeof cover === "string" ? { program, cover } : { program };
  } catch {
    return undefined;
  }
}

function programPath(name: string): string | undefined {
  for (const directory of (runtimeEnvironment().PATH ?? "").split(":")) {
    try {
      const path = join(directory, name);
      accessSync(path, constants.X_OK);
      return realpathSync(path);
    } catch {
      // Not in this one.
    }
  }
  return undefined;
}
