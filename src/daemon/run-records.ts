import { mkdirSync, readdirSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { removeTree } from "../guests/remove-tree.ts";
import type { SandboxDriver } from "../guests/sandbox.ts";
import type { RunRow } from "../state/rows.ts";
import type { RunTable } from "../state/runs.ts";
import type { Chronicle } from "./chronicle.ts";
import { bytesFound, readEnded } from "./run-output.ts";
import { runView, sentenceOf } from "./run-words.ts";

/** What is kept of ended runs without being asked. */
export type Retention = { olderMs: number; count: number };
const retention: Retention = { olderMs: 7 * 24 * 3_600_000, count: 1000 };

export type RunRecordsOptions = {
  table: RunTable;
  /** One directory for each run, with what it wrote. */
  directory: string;
  drivers: readonly SandboxDriver[];
  releaseRoot: (run: string) => void;
  chronicle: Chronicle;
  clock: Pick<Clock, "now">;
  log: Log;
};

/** What is kept of runs: their rows, their outputs, and, after a crash, what has still to be removed. */
export class RunRecords {
  readonly #o: RunRecordsOptions;

  constructor(options: RunRecordsOptions) {
    this.#o = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  directoryOf(id: string): string {
    return join(this.#o.directory, id);
  }

  /** By an id or the beginning of one. @throws NexusError not-found, usage */
  find(id: string): RunRow {
    const found = this.#o.table.find(id);
    if (found === "several") throw new NexusError("usage", `several runs begin with ${id}`, { hint: "write more of the id" });
    if (found === undefined) throw new NexusError("not-found", `there is no run ${id}`, { hint: "`nexus run ls` lists them" });
    return found;
  }

  /** The newest first. */
  list(limit: number): RunRow[] {
    return this.#o.table.all(limit);
  }

  /** What was kept of an output, or every judgement of its connections. */
  read(row: RunRow, stream: "stdout" | "stderr" | "audit"): AsyncGenerator<Uint8Array> {
    const directory = this.directoryOf(row.id);
    if (stream === "audit") return readEnded(join(directory, auditName), { bytes: mostAuditBytes, limitBytes: 2 * mostAuditBytes });
    return readEnded(join(directory, stream), { bytes: row.output[stream].bytes, limitBytes: row.spec.outputLimit });
  }

  /** Forgets a run with all that was kept of it. */
  async erase(id: string): Promise<void> {
    await rm(this.directoryOf(id), { recursive: true, force: true });
    this.#o.table.delete(id);
  }

  /** Those that ended so long ago, and of the others the oldest beyond so many. */
  async prune({ olderMs, count }: Retention = retention): Promise<string[]> {
    const ids = this.#o.table.beyond({ before: this.#o.clock.now() - olderMs, count });
    for (const id of ids) await this.erase(id);
    return ids;
  }

  /** Runs of a daemon that died have their final state: nobody knows how they would have ended. */
  accountForLost({ rebooted }: { rebooted: boolean }): void {
    const reason = rebooted ? "host-restarted" : "daemon-died";
    for (const row of this.#o.table.unfinished()) {
      const lost: RunRow = { ...row, state: "lost", reason, endedAt: this.#o.clock.now() };
      this.#o.table.setProgress(row.id, lost);
      this.#o.chronicle.tell({ kind: "run.lost", subject: row.id, message: sentenceOf(runView(lost, lost.output)), details: { reason } });
    }
  }

  /** Whether nothing of it is left on the host. */
  isGone(id: string): boolean {
    const found = this.#o.table.find(id);
    return typeof found !== "object" || found.swept;
  }

  /** Removes what runs of an earlier daemon left on the host. What cannot go now is tried again at the next start. */
  async sweep(): Promise<void> {
    const { table, directory, log } = this.#o;
    for (const row of table.unswept()) {
      if (row.state === "starting" || row.state === "running") continue;
      await this.#sweepOne(row).catch((error: unknown) =>
        log.warn({ run: row.id, error: String(error) }, "what a run left behind could not be removed"),
      );
    }
    // Their rows were lost with the machine's power.
    for (const id of readdirSync(directory)) if (table.find(id) === undefined) await this.erase(id);
    await this.prune();
  }

  async #sweepOne(row: RunRow): Promise<void> {
    const directory = this.directoryOf(row.id);
    for (const driver of this.#o.drivers)
      if (row.driver === undefined || driver.name === row.driver)
        await driver.sweep({ id: row.id, directory: join(directory, sandboxName) });
    this.#o.releaseRoot(row.id);
    const found = async (name: "stdout" | "stderr") => ({
      bytes: await bytesFound(join(directory, name), row.spec.outputLimit),
      dropped: 0,
    });
    const output = row.reason === "daemon-died" ? { stdout: await found("stdout"), stderr: await found("stderr") } : row.output;
    await removeTree(join(directory, sandboxName));
    await removeIfEmpty(directory);
    this.#o.table.setProgress(row.id, { ...row, output, swept: true });
  }
}

export const auditName = "audit.jsonl";
export const sandboxName = "sandbox";
const mostAuditBytes = 2 ** 40;

/** A run that wrote nothing leaves no directory. */
export async function removeIfEmpty(directory: string): Promise<void> {
  // It holds what the run wrote, or was never made.
  await rmdir(directory).catch(() => undefined);
}
