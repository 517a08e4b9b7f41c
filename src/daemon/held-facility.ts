import { join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import { type ArtifactLimits, type Artifacts, findArtifacts } from "../facilities/artifacts.ts";
import { diffSince, type FacilityDiff } from "../facilities/diff.ts";
import type { LeftOut } from "../facilities/left-out.ts";
import { OverflowFile, outputsOf } from "../facilities/outputs.ts";
import type { FacilityPlace } from "../facilities/place.ts";
import { type Moment, Stores } from "../facilities/stores.ts";

/** What a run has of a facility while it has its lock. */
export type HeldFacility = {
  readonly name: Name;
  /** Proves the lock: it is another's once this is not the newest. */
  readonly epoch: number;
  /** For SandboxPlan, with the path at which the command is to see it. */
  readonly workspace: { source: string; owner: { uid: number; gid: number } };
  /** Aborts when the files take more than the facility may; its reason says so. Never where the disk itself ends there. */
  readonly full: AbortSignal;
  /** Before anything of consequence. @throws NexusError `wrong-state` when the lock was broken, and is another's perhaps */
  check(): void;
  /** Notes the files as they are, for a diff since then. Before the command starts. @throws NexusError `wrong-state`, `too-large` */
  remember(signal: AbortSignal): Promise<LeftOut>;
  /** @throws NexusError `wrong-state` when nothing was remembered since `run`; `too-large`, `timeout` */
  diff(o: { since: Moment; limitBytes: number; signal: AbortSignal }): Promise<FacilityDiff>;
  artifacts(o: { globs: readonly string[]; limits: ArtifactLimits; signal: AbortSignal }): Promise<Artifacts>;
  /** Where a long output goes on, out of the sandbox's reach; kept for the last eight runs. The file is made with its first byte. */
  overflow(stream: "stdout" | "stderr", limitBytes: number): Promise<OverflowFile>;
};

type Held = {
  name: Name;
  run: string;
  epoch: number;
  place: FacilityPlace;
  full: AbortSignal;
  isNewest: () => boolean;
  /** One at a time of what uses the remembered files. */
  alone: <T>(work: () => Promise<T>) => Promise<T>;
};

export function heldFacility({ name, run, epoch, place, full, isNewest, alone }: Held): HeldFacility {
  const check = () => {
    if (isNewest()) return;
    throw new NexusError("wrong-state", `run ${run} no longer has facility ${name}: its lock was broken`, {
      details: { name, run, epoch },
    });
  };
  return {
    name,
    epoch,
    workspace: { source: place.workspace, owner: place.owner },
    full,
    check,
    remember: async (signal) => {
      check();
      return await alone(() => new Stores(place).remember("run", signal));
    },
    diff: async (o) => await alone(() => diffOf(place, o)),
    artifacts: async (o) => await findArtifacts(place, o),
    overflow: async (stream, limitBytes) =>
      new OverflowFile(join(await outputsOf(place.directory, { run, epoch }), `${stream}.log`), limitBytes),
  };
}

/** @throws NexusError `wrong-state` when nothing was remembered */
export async function diffOf(place: FacilityPlace, o: { since: Moment; limitBytes: number; signal: AbortSignal }): Promise<FacilityDiff> {
  if (!new Stores(place).has(o.since))
    throw new NexusError("wrong-state", o.since === "run" ? "no run of this facility has noted its files" : "its files were not noted", {
      hint: o.since === "run" ? "compare with its creation: --since create" : undefined,
    });
  return await diffSince(place, o);
}
