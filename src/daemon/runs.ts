import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Peer, serverCloses } from "../api/contract.ts";
import type { Clock } from "../base/clock.ts";
import { NexusError } from "../base/errors.ts";
import { systemRefusal } from "../base/system-error.ts";
import type { Log } from "../base/log.ts";
import type { Name } from "../base/names.ts";
import { removeTree } from "../guests/remove-tree.ts";
import type { SandboxDriver, SandboxPlan } from "../guests/sandbox.ts";
import { netModeOf, type RunSpec } from "../spec/run.ts";
import type { RunView } from "../spec/run-view.ts";
import type { RunProgress, RunRow } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import { type Ending, LiveRun, type Outcome } from "./live-run.ts";
import { driverFor } from "./run-drivers.ts";
import type { EgressAsked, RunEgress } from "./run-egress.ts";
import { environmentOf } from "./run-environment.ts";
import { type Claim, excludes, placeOf } from "./run-place.ts";
import type { RunRoot } from "./run-root.ts";
import { auditName, removeIfEmpty, RunRecords, sandboxName } from "./run-records.ts";
import { runView, sentenceOf } from "./run-words.ts";

export type RunsOptions = {
  state: State;
  chronicle: Chronicle;
  clock: Pick<Clock, "now">;
  log: Log;
  drivers: readonly SandboxDriver[];
  directory: string;
  /** Directories of Nexus itself. */
  own: readonly string[];
  /** Takes the lock of a facility for a run. @throws NexusError not-found, in-use */
  hold: (facility: Name, run: string) => Promise<HeldPlace>;
  /** What it has around it, by a driver that can be given something; `releaseRoot` ends that. @throws NexusError saying why there is none */
  rootFor: (
    kind: NonNullable<SandboxDriver["root"]>,
    o: { run: string; spec: RunSpec; signal: AbortSignal; progress: (line: string) => void },
  ) => Promise<RunRoot>;
  releaseRoot: (run: string) => void;
  /** @throws SpecError with every rule that is none */
  openEgress: (asked: EgressAsked) => RunEgress;
};

/** A facility while a run has it; disposing lets go of the lock. */
export type HeldPlace = AsyncDisposable & { workspace: { source: string; owner: { uid: number; gid: number } }; full: AbortSignal };

/** Who starts a run; a run without a watcher goes on when its starter has left. */
export type Starter = { caller: Peer; watcher?: AbortSignal; progress?: (line: string) => void };

/** A run under way, as its starter holds it. */
export type StartedRun = {
  view: RunView;
  life: LiveRun;
  cancel(ending: Ending, signal: NodeJS.Signals): void;
  ended: Promise<RunView>;
};

/** `egress` and `place` are what it uses beside its sandbox. */
type Current = {
  row: RunRow;
  life?: LiveRun;
  egress?: RunEgress | undefined;
  place?: HeldPlace;
  claim?: Claim;
  /** Why it is to end, when somebody wants it to. */
  ending?: Ending;
  stopping: AbortController;
  done: PromiseWithResolvers<RunView>;
};

/** Sandboxed commands, from what was asked to their one final state. */
export class Runs implements AsyncDisposable {
  readonly records: RunRecords;
  readonly #o: RunsOptions;
  readonly #current = new Map<string, Current>();
  readonly #cleaning = new Set<Promise<void>>();
  #closed = false;
  #pruneAfter = 0;

  constructor(options: RunsOptions) {
    this.#o = options;
    this.records = new RunRecords({ ...options, table: options.state.runs });
  }

  /** @throws NexusError when the sandbox could not be made as asked: then the run is `refused` and nothing runs */
  async start(spec: RunSpec, o: Starter): Promise<StartedRun> {
    this.#refuseMore();
    const current = this.#admit(spec, o);
    const { watcher } = o;
    const gone = () =>
      this.#cancel(current, { state: "cancelled", reason: watcher?.reason === serverCloses ? "daemon-stopped" : "client-gone" }, "SIGTERM");
    watcher?.addEventListener("abort", gone, { once: true });
    try {
      if (watcher?.aborted === true) gone();
      const life = await this.#launch(current, spec, o);
      this.#began(current);
      void life.ended.then(
        (outcome) => this.#ended(current, outcome),
        (error: unknown) => this.#finish(current, { state: "lost", reason: "sandbox-failed", message: messageOf(error) }),
      );
      return {
        view: this.#view(current.row),
        life,
        cancel: (ending, signal) => this.#cancel(current, ending, signal),
        ended: current.done.promise,
      };
    } catch (error) {
      await this.#finish(current, current.ending ?? refusalOf(error));
      throw error;
    }
  }

  list(limit: number): RunView[] {
    return this.records.list(limit).map((row) => this.#view(row));
  }

  /** By its id or the beginning of it. @throws NexusError not-found, usage */
  get(id: string): RunView {
    return this.#view(this.records.find(id));
  }

  /** As `get`, when it has ended or the time is up. */
  async wait(id: string, { ms, signal }: { ms: number; signal: AbortSignal }): Promise<RunView> {
    const row = this.records.find(id);
    const current = this.#current.get(row.id);
    if (current !== undefined && ms > 0) {
      const enough = Promise.withResolvers<void>();
      const timer = setTimeout(enough.resolve, ms);
      signal.addEventListener("abort", () => enough.resolve(), { once: true });
      await Promise.race([current.done.promise, enough.promise]);
      clearTimeout(timer);
    }
    return this.get(row.id);
  }

  /** Ends a run and resolves when nothing of it is alive; one that has ended is left as it is. */
  async cancel(id: string): Promise<RunView> {
    const row = this.records.find(id);
    const current = this.#current.get(row.id);
    if (current === undefined) return this.#view(row);
    this.#cancel(current, { state: "cancelled", reason: "asked" }, "SIGTERM");
    return await current.done.promise;
  }

  /** What was kept of an output; of a run under way with `follow` also what comes. */
  logs(id: string, o: { stream: "stdout" | "stderr" | "audit"; follow: boolean; signal: AbortSignal }): AsyncGenerator<Uint8Array> {
    const row = this.records.find(id);
    const life = this.#current.get(row.id)?.life;
    return life === undefined || o.stream === "audit" ? this.records.read(row, o.stream) : life[o.stream].read(o);
  }

  /** Forgets a run that has ended; gives its whole id. @throws NexusError wrong-state while it goes on */
  async remove(id: string): Promise<string> {
    const row = this.records.find(id);
    if (this.#current.has(row.id))
      throw new NexusError("wrong-state", `run ${row.id} goes on`, { hint: `end it first: nexus run cancel ${row.id}` });
    await this.records.erase(row.id);
    return row.id;
  }

  /** Ids of those that a stop of this process ends. */
  underWay(): string[] {
    return [...this.#current.keys()];
  }

  /** Ends what runs: the outputs of commands end with this process, so they cannot outlive it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const all = [...this.#current.values()];
    for (const current of all) this.#cancel(current, { state: "cancelled", reason: "daemon-stopped" }, "SIGTERM");
    await Promise.allSettled(all.map(({ done }) => done.promise));
    await Promise.allSettled(this.#cleaning);
  }

  #refuseMore(): void {
    if (this.#closed) throw new NexusError("wrong-state", "nexusd is ending, and starts nothing any more");
    if (this.#current.size < mostRuns) return;
    throw new NexusError("limit-refused", `${mostRuns} runs are under way already`, {
      hint: "wait for one to end, or cancel one: `nexus run ls`",
    });
  }

  /** From here on it is known, whatever becomes of it. */
  #admit({ env, ...asked }: RunSpec, o: Starter): Current {
    const row: RunRow = {
      id: randomBytes(6).toString("hex"),
      uid: o.caller.uid,
      spec: { ...asked, env: Object.keys(env) },
      detached: o.watcher === undefined,
      createdAt: this.#o.clock.now(),
      ...nothingYet,
      driver: driverNamed(asked, this.#o.drivers),
    };
    this.#o.state.runs.insert(row);
    const current: Current = { row, stopping: new AbortController(), done: Promise.withResolvers() };
    this.#current.set(row.id, current);
    return current;
  }

  async #launch(current: Current, spec: RunSpec, { caller, watcher, progress = () => {} }: Starter): Promise<LiveRun> {
    const { id } = current.row;
    const driver = driverFor(spec, this.#o.drivers);
    const { signal } = current.stopping;
    const root = driver.root === undefined ? undefined : await this.#o.rootFor(driver.root, { run: id, spec, signal, progress });
    current.row = { ...current.row, root: root?.name };
    mkdirSync(this.#sandboxOf(id), { recursive: true, mode: 0o700 });
    if (spec.facility?.startsWith("/") === false) current.place = await this.#o.hold(spec.facility as Name, id);
    current.egress = this.#openEgress(id, spec);
    const plan = this.#planOf(current, spec, { caller, root });
    this.#claim(current, { source: plan.workspace?.source ?? "/", alone: driver.name === "qemu" });
    const { timeoutMs, graceMs, outputLimit: outputLimitBytes } = spec;
    const life = await LiveRun.start(
      { driver, plan, timeoutMs, graceMs, outputLimitBytes, outputs: this.records.directoryOf(id), live: watcher !== undefined },
      signal,
    );
    current.life = life;
    const full = () => life.end({ state: "failed", reason: "facility-full" }, { signal: "SIGTERM", graceMs });
    current.place?.full.addEventListener("abort", full, { once: true });
    return life;
  }

  /** @throws NexusError in-use */
  #claim(current: Current, claim: Claim): void {
    for (const { row, claim: other } of this.#current.values()) {
      if (other === undefined || !excludes(claim, other)) continue;
      throw new NexusError("in-use", `run ${row.id} works in ${other.source}, and a virtual machine has its directory for itself`, {
        hint: "wait for that run to end, or give each a facility of its own",
        details: { run: row.id },
      });
    }
    current.claim = claim;
  }

  #planOf({ row, place, egress }: Current, spec: RunSpec, o: { caller: Peer; root: RunRoot | undefined }): SandboxPlan {
    const { workspace, cwd, home } = placeOf({ spec, caller: o.caller, held: place?.workspace, own: this.#o.own });
    const [program = "", ...words] = spec.command;
    return {
      id: row.id,
      command: [program, ...words],
      env: environmentOf(spec, { home, proxyPort: egress?.sandbox.port, image: o.root?.env }),
      cwd,
      ...(workspace === undefined ? {} : { workspace }),
      ...(o.root?.root === undefined ? {} : { root: o.root.root }),
      limits: {
        memoryBytes: spec.mem * 1024 * 1024,
        cpus: spec.cpus,
        pids: spec.pids,
        openFiles: 1024,
        scratchBytes: spec.disk,
      },
      egress: egress?.sandbox ?? { kind: netModeOf(spec) === "host" ? "host" : "none" },
      ...(spec.terminal === undefined ? {} : { terminal: spec.terminal }),
      directory: this.#sandboxOf(row.id),
    };
  }

  /** A plain process uses the host's network; anything else has a proxy or nothing. */
  #openEgress(id: string, spec: RunSpec): RunEgress | undefined {
    const mode = netModeOf(spec);
    if (mode === "host" || mode === "none") return undefined;
    const auditFile = join(this.records.directoryOf(id), auditName);
    return this.#o.openEgress({ run: id, mode, allow: spec.net.allow, project: spec.labels["nexus.project"], auditFile });
  }

  /** The driver's part of what is the run's; it goes with the sandbox, and the outputs stay. */
  #sandboxOf(id: string): string {
    return join(this.records.directoryOf(id), sandboxName);
  }

  #began(current: Current): void {
    const limitedBy = current.life?.process.limitedBy ?? "cgroups";
    current.row = { ...current.row, state: "running", limitedBy, startedAt: this.#o.clock.now() };
    const { id, driver, spec } = current.row;
    const message = `run ${id} started ${spec.command[0]} (profile ${spec.profile}, driver ${driver})`;
    this.#o.state.transaction(() => {
      this.#o.state.runs.setProgress(id, current.row);
      this.#o.chronicle.tell({ kind: "run.started", subject: id, message });
    });
  }

  #cancel(current: Current, ending: Ending, signal: NodeJS.Signals): void {
    current.ending ??= ending;
    if (current.life === undefined) current.stopping.abort(new NexusError("wrong-state", "the run was cancelled before it began"));
    else current.life.end(ending, { signal, graceMs: Math.min(cancelGraceMs, current.row.spec.graceMs) });
  }

  #ended(current: Current, outcome: Outcome): Promise<void> {
    const { life } = current;
    const problem = life?.stdout.problem ?? life?.stderr.problem;
    return this.#finish(current, {
      ...outcome,
      message: problem === undefined ? undefined : `not all of its output could be kept: ${problem}`,
    });
  }

  /** Whoever waits is told when the facility is free for the next; what else there is to remove goes meanwhile. */
  async #finish(current: Current, end: Partial<RunProgress>): Promise<void> {
    const { life, egress, place, row } = current;
    try {
      await egress?.close();
      await place?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#complain(row, error);
    }
    const output = life === undefined ? row.output : { stdout: life.stdout.figures, stderr: life.stderr.figures };
    current.row = { ...row, ...end, output, egress: egress?.figures(), endedAt: this.#o.clock.now() };
    const view = this.#view(current.row);
    try {
      this.#o.state.transaction(() => {
        this.#o.state.runs.setProgress(row.id, current.row);
        const details = { reason: view.reason, code: view.code };
        this.#o.chronicle.tell({ kind: `run.${view.state}`, subject: row.id, message: sentenceOf(view), details });
      });
    } catch (error) {
      this.#complain(row, error);
    }
    this.#current.delete(row.id);
    current.done.resolve(view);
    const cleaning = this.#cleanUp(current).finally(() => this.#cleaning.delete(cleaning));
    this.#cleaning.add(cleaning);
  }

  async #cleanUp({ row, life }: Current): Promise<void> {
    try {
      await life?.[Symbol.asyncDispose]();
      this.#o.releaseRoot(row.id);
      await removeTree(this.#sandboxOf(row.id));
      await removeIfEmpty(this.records.directoryOf(row.id));
      this.#o.state.runs.setProgress(row.id, { ...row, swept: true });
      const now = this.#o.clock.now();
      if (now < this.#pruneAfter) return;
      this.#pruneAfter = now + pruneEveryMs;
      await this.records.prune();
    } catch (error) {
      this.#complain(row, error);
    }
  }

  #complain({ id }: RunRow, error: unknown): void {
    this.#o.log.error({ run: id, error: messageOf(error) }, "the end of a run was not as it should be");
  }

  #view(row: RunRow): RunView {
    const current = this.#current.get(row.id);
    const { life } = current ?? {};
    return runView(current?.row ?? row, life === undefined ? row.output : { stdout: life.stdout.figures, stderr: life.stderr.figures });
  }
}

const nothingYet: RunProgress = {
  driver: undefined,
  limitedBy: undefined,
  root: undefined,
  state: "starting",
  reason: undefined,
  message: undefined,
  exit: undefined,
  output: { stdout: { bytes: 0, dropped: 0 }, stderr: { bytes: 0, dropped: 0 } },
  egress: undefined,
  startedAt: undefined,
  endedAt: undefined,
  swept: false,
};

/** Whoever cancels wants it over: within a second nothing of it is alive. */
const cancelGraceMs = 500;
const mostRuns = 256;
const pruneEveryMs = 600_000;

/** Known from the first on: after a crash it is the driver that knows what to remove. Undefined for a run that will be refused. */
function driverNamed(spec: Pick<RunSpec, "profile" | "driver">, drivers: readonly SandboxDriver[]): string | undefined {
  try {
    return driverFor(spec, drivers).name;
  } catch {
    return undefined;
  }
}

function refusalOf(error: unknown): Partial<RunProgress> {
  const known = error instanceof NexusError ? error : systemRefusal(error);
  return { state: "refused", reason: known?.code ?? "internal", message: messageOf(known ?? error) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
