import type { Clock } from "../base/clock.ts";
import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import { type ArtifactLimits, type Artifacts, findArtifacts } from "../facilities/artifacts.ts";
import { cloneInto } from "../facilities/clone.ts";
import type { FacilityDiff } from "../facilities/diff.ts";
import type { FacilityDisks, FacilityPlace } from "../facilities/place.ts";
import { forgetUnfinished, type Moment, Stores } from "../facilities/stores.ts";
import type { GuestFiles } from "../guests/guest-files.ts";
import { rootedFiles } from "../guests/rooted-files.ts";
import { Rooted } from "../kernel/rooted.ts";
import type { CloneCredential, FacilitySpec } from "../spec/facility.ts";
import type { FacilityView } from "../spec/views.ts";
import type { FacilityRow } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import { diffOf, type HeldFacility, heldFacility } from "./held-facility.ts";
import { KeyedLock } from "./keyed-lock.ts";

export type FacilitiesOptions = {
  state: State;
  disks: FacilityDisks;
  limit: FacilityView["limit"];
  chronicle: Chronicle;
  clock: Pick<Clock, "now">;
  /** Ends a run whose facility is to go; resolves when it has. */
  endRun?: (run: string) => Promise<void>;
};

/** Workspaces that outlive the commands in them. One run at a time has a facility. */
export class Facilities {
  readonly #o: FacilitiesOptions;
  readonly #work = new KeyedLock();

  constructor(o: FacilitiesOptions) {
    this.#o = o;
  }

  async list(): Promise<FacilityView[]> {
    // Where measuring means to look at every file, only who asks for one is told.
    const measure = this.#o.limit === "disk";
    return await Promise.all(this.#o.state.facilities.all().map((row) => this.#view(row, measure)));
  }

  /** @throws NexusError `not-found` */
  async inspect(name: Name): Promise<FacilityView> {
    const row = this.#row(name);
    // To say what is used it must be open.
    if (row.state === "ready") await this.#opened(name);
    return await this.#view(row);
  }

  /** @throws NexusError `name-taken`, `too-large`, `runtime-missing`, `unsupported`; what the clone met. Nothing is left of it then */
  async create(
    spec: FacilitySpec,
    how: { credential?: CloneCredential | undefined; progress: (line: string) => void; signal: AbortSignal },
  ): Promise<FacilityView> {
    const { state, disks, chronicle, clock } = this.#o;
    const { name } = spec;
    const row = state.transaction(() => {
      if (state.facilities.find(name) !== undefined)
        throw new NexusError("name-taken", `a facility named ${name} exists already`, { details: { name } });
      state.facilities.insert({ name, index: state.facilities.freeIndex(), spec, createdAt: clock.now() });
      return this.#row(name);
    });
    const place = this.#placeOf(row);
    return await this.#work.run(name, async () => {
      try {
        await disks.make(place, spec.size);
        if (spec.clone !== undefined) await cloneInto(place, { ...spec.clone, ...how, bytes: spec.size });
        await new Stores(place).remember("create", how.signal);
        state.facilities.setState(name, "ready");
      } catch (error) {
        await this.#discard(row);
        throw error;
      }
      chronicle.tell({ kind: "facility.created", subject: name, message: `facility ${name} was made` });
      return await this.#view(this.#row(name));
    });
  }

  /** @throws NexusError `not-found`; `in-use` when a run has it, unless `force`, which ends that run */
  async remove(name: Name, { force }: { force: boolean }): Promise<void> {
    const { state, disks, chronicle, endRun } = this.#o;
    const { lock } = this.#row(name);
    if (lock !== undefined) {
      if (!force) throw heldBy(name, lock.run, "end the run first, or use --force, which does");
      await endRun?.(lock.run);
    }
    await this.#work.run(name, async () => {
      const row = state.facilities.find(name);
      if (row === undefined) return;
      // Taken while others were waited for.
      if (row.lock !== undefined && !force) throw heldBy(name, row.lock.run, "end the run first, or use --force, which does");
      const place = this.#placeOf(row);
      if (!(await disks.close(place)))
        throw new NexusError("in-use", `a process has files of facility ${name} open`, { hint: `see which: fuser -vm ${place.workspace}` });
      state.lettingGo(() => state.facilities.setState(name, "leaving"));
      await disks.remove(place);
      state.lettingGo(() => state.facilities.delete(name));
      chronicle.tell({ kind: "facility.removed", subject: name, message: `facility ${name} was removed` });
    });
  }

  /**
   * Does something with a facility while no other run can. The lock is in the state before `use` begins, and let go when it ends.
   * @throws NexusError `not-found`; `in-use` naming the run that has it; what `use` throws
   */
  async withFacility<T>(name: Name, run: string, use: (held: HeldFacility) => Promise<T>): Promise<T> {
    const { state, disks, clock } = this.#o;
    const row = this.#row(name);
    const place = this.#placeOf(row);
    const epoch = state.facilities.lock(name, run, clock.now());
    if (epoch === undefined) throw this.#notLocked(name);
    try {
      await this.#work.run(name, () => disks.open(place));
      using watch = disks.watch(place, row.spec.size);
      const isNewest = () => state.facilities.find(name)?.epoch === epoch;
      const alone = <R>(work: () => Promise<R>) => this.#work.run(name, work);
      return await use(heldFacility({ name, run, epoch, place, full: watch.full, isNewest, alone }));
    } finally {
      state.lettingGo(() => state.facilities.unlock(name, epoch));
    }
  }

  /** Takes the lock from whoever has it; what that run does afterwards with its `check` is refused. @throws NexusError `not-found`, `wrong-state` when it is free */
  unlock(name: Name): FacilityRow["lock"] {
    const { lock, epoch } = this.#row(name);
    if (lock === undefined) throw new NexusError("wrong-state", `no run has facility ${name}`);
    this.#o.state.facilities.unlock(name, epoch);
    this.#o.chronicle.tell({
      kind: "facility.unlocked",
      subject: name,
      message: `the lock of facility ${name} was taken from run ${lock.run}`,
      details: { run: lock.run, epoch },
    });
    return lock;
  }

  /** At the daemon's start: frees what runs of an earlier daemon had, of each once `isGone` says that nothing of it runs. */
  async releaseLost(isGone: (run: string) => Promise<boolean>): Promise<void> {
    for (const { name, lock, epoch } of this.#o.state.facilities.all()) {
      if (lock === undefined || !(await isGone(lock.run))) continue;
      if (!this.#o.state.facilities.unlock(name, epoch)) continue;
      this.#o.chronicle.tell({
        kind: "facility.released",
        subject: name,
        message: `run ${lock.run} ended with an earlier daemon; facility ${name} is free again`,
        details: { run: lock.run, epoch },
      });
    }
  }

  /** How the files differ from what they were; also while a run changes them. @throws NexusError `not-found`, `wrong-state`, `too-large`, `timeout` */
  async diff(name: Name, o: { since: Moment; limitBytes: number; signal: AbortSignal }): Promise<FacilityDiff> {
    return await this.#work.run(name, async () => await diffOf(await this.#opened(name), o));
  }

  /** @throws NexusError `not-found`, `wrong-state`, `too-large` */
  async artifacts(name: Name, o: { globs: readonly string[]; limits: ArtifactLimits; signal: AbortSignal }): Promise<Artifacts> {
    return await findArtifacts(await this.#opened(name), o);
  }

  /** Its files, to be read; to be written only while no run has it. Paths begin at the workspace. @throws NexusError `not-found`, `wrong-state`, `in-use` */
  async files(name: Name, to: "read" | "write"): Promise<GuestFiles> {
    const place = await this.#opened(name);
    const { lock } = this.#row(name);
    if (to === "write" && lock !== undefined) throw heldBy(name, lock.run, "wait for that run to end");
    return rootedFiles(() => Rooted.openDirectory(place.workspace, `facility ${name}`, place.owner));
  }

  /** At the daemon's start: takes away what a crash left half made or half removed. What cannot go is told, and tried at the next start. */
  async sweep(): Promise<void> {
    for (const row of this.#o.state.facilities.all()) {
      if (row.state === "ready") forgetUnfinished(this.#placeOf(row));
      else await this.#discard(row);
    }
  }

  /** At the daemon's end: what no run has is written back and closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { state, disks } = this.#o;
    const free = state.facilities.all().filter((row) => row.lock === undefined);
    await Promise.allSettled(free.map((row) => disks.close(this.#placeOf(row))));
  }

  /** Its row stays while anything of it does. */
  async #discard(row: FacilityRow): Promise<void> {
    const { state, disks, chronicle } = this.#o;
    const { name } = row;
    try {
      state.lettingGo(() => state.facilities.setState(name, "leaving"));
      await disks.remove(this.#placeOf(row));
      state.lettingGo(() => state.facilities.delete(name));
    } catch (error) {
      chronicle.tell({ kind: "facility.stuck", subject: name, message: `facility ${name} could not be taken away: ${String(error)}` });
    }
  }

  async #opened(name: Name): Promise<FacilityPlace> {
    const row = this.#row(name);
    if (row.state !== "ready") throw this.#notLocked(name);
    const place = this.#placeOf(row);
    await this.#o.disks.open(place);
    return place;
  }

  #notLocked(name: Name): NexusError {
    const { lock, state } = this.#row(name);
    if (lock !== undefined)
      return heldBy(name, lock.run, `wait for that run to end; \`nexus facility unlock ${name} --force\` breaks a lock`);
    return new NexusError("wrong-state", `facility ${name} is ${state === "making" ? "still being made" : "being removed"}`);
  }

  #row(name: Name): FacilityRow {
    const row = this.#o.state.facilities.find(name);
    if (row !== undefined) return row;
    throw new NexusError("not-found", `there is no facility ${name}`, { hint: "nexus facility ls lists them" });
  }

  #placeOf(row: FacilityRow): FacilityPlace {
    return this.#o.disks.placeOf(row.name, row.index);
  }

  async #view(row: FacilityRow, measure = true): Promise<FacilityView> {
    const { name, spec, lock } = row;
    const place = this.#placeOf(row);
    const usedBytes = measure && row.state === "ready" ? await this.#o.disks.used(place).catch(() => undefined) : undefined;
    return {
      name,
      state: row.state,
      path: place.workspace,
      sizeBytes: spec.size,
      ...(usedBytes === undefined ? {} : { usedBytes }),
      limit: this.#o.limit,
      uid: place.owner.uid,
      ...(spec.clone === undefined
        ? {}
        : { clone: { url: spec.clone.url, ...(spec.clone.ref === undefined ? {} : { ref: spec.clone.ref }) } }),
      ...(lock === undefined ? {} : { lock: { run: lock.run, since: new Date(lock.since).toISOString() } }),
      epoch: row.epoch,
      createdAt: new Date(row.createdAt).toISOString(),
      labels: spec.labels,
    };
  }
}

function heldBy(name: Name, run: string, hint: string): NexusError {
  return new NexusError("in-use", `run ${run} has facility ${name}`, { hint, details: { name, run } });
}
