import { NexusError } from "../base/errors.ts";
import type { Database, SqlRow, Statement } from "./database.ts";
import type { RunProgress, RunRow } from "./rows.ts";

/** Sandboxed commands, running and ended. A row stands before anything of its sandbox is made. */
export class RunTable {
  readonly #db: Database;
  readonly #sql: Record<
    "insert" | "update" | "delete" | "one" | "alike" | "all" | "unfinished" | "unswept" | "older" | "beyond",
    Statement
  >;

  constructor(db: Database) {
    this.#db = db;
    const columns = `id, uid, spec, detached, driver, root, state, reason, message, exit, output, egress,
      limited_by AS limitedBy, created_at AS createdAt, started_at AS startedAt, ended_at AS endedAt, swept`;
    const ended = "state NOT IN ('starting', 'running') AND swept = 1";
    this.#sql = {
      insert: db.prepare(`
        INSERT INTO runs (id, uid, spec, detached, driver, root, state, reason, message, exit, output, egress, limited_by, created_at,
          started_at, ended_at, swept)
        VALUES (:id, :uid, :spec, :detached, :driver, :root, :state, :reason, :message, :exit, :output, :egress, :limitedBy, :createdAt,
          :startedAt, :endedAt, :swept)`),
      update: db.prepare(`
        UPDATE runs SET driver = :driver, root = :root, state = :state, reason = :reason, message = :message, exit = :exit, output = :output,
          egress = :egress, limited_by = :limitedBy, started_at = :startedAt, ended_at = :endedAt, swept = :swept WHERE id = :id`),
      delete: db.prepare("DELETE FROM runs WHERE id = :id"),
      one: db.prepare(`SELECT ${columns} FROM runs WHERE id = :id`),
      alike: db.prepare(`SELECT ${columns} FROM runs WHERE substr(id, 1, length(:start)) = :start LIMIT 2`),
      all: db.prepare(`SELECT ${columns} FROM runs ORDER BY created_at DESC, id LIMIT :limit`),
      unfinished: db.prepare(`SELECT ${columns} FROM runs WHERE state IN ('starting', 'running')`),
      unswept: db.prepare(`SELECT ${columns} FROM runs WHERE swept = 0`),
      older: db.prepare(`SELECT id FROM runs WHERE ${ended} AND ended_at <= :before`),
      beyond: db.prepare(`SELECT id FROM runs WHERE ${ended} ORDER BY created_at DESC, id LIMIT -1 OFFSET :count`),
    };
  }

  insert(run: RunRow): void {
    const { id, uid, createdAt } = run;
    this.#sql.insert.run({ id, uid, createdAt, spec: JSON.stringify(run.spec), detached: run.detached ? 1 : 0, ...progressValues(run) });
  }

  setProgress(id: string, progress: RunProgress): void {
    const changed = this.#db.lettingGo(() => this.#sql.update.run({ id, ...progressValues(progress) }));
    if (changed === 0) throw new NexusError("not-found", `no run with id ${id}`);
  }

  delete(id: string): void {
    this.#db.lettingGo(() => this.#sql.delete.run({ id }));
  }

  /** By its id, or by as much of its beginning as only one has. */
  find(start: string): RunRow | "several" | undefined {
    const exact = this.#sql.one.get({ id: start });
    if (exact !== undefined) return runRow(exact);
    const [first, second] = this.#sql.alike.all({ start });
    return second !== undefined ? "several" : first === undefined ? undefined : runRow(first);
  }

  /** The newest first. */
  all(limit: number): RunRow[] {
    return this.#sql.all.all({ limit }).map(runRow);
  }

  /** Those without a final state: after a start, what a daemon that died left behind. */
  unfinished(): RunRow[] {
    return this.#sql.unfinished.all().map(runRow);
  }

  /** Those whose sandbox may have left something on the host. */
  unswept(): RunRow[] {
    return this.#sql.unswept.all().map(runRow);
  }

  /** Ids of those that ended so long ago, or have so many ended ones after them. */
  beyond({ before, count }: { before: number; count: number }): string[] {
    const ids = [...this.#sql.older.all({ before }), ...this.#sql.beyond.all({ count })].map((row) => row["id"] as string);
    return [...new Set(ids)];
  }
}

function progressValues(p: RunProgress) {
  return {
    driver: p.driver ?? null,
    root: p.root ?? null,
    state: p.state,
    reason: p.reason ?? null,
    message: p.message ?? null,
    exit: p.exit === undefined ? null : JSON.stringify(p.exit),
    output: JSON.stringify(p.output),
    egress: p.egress === undefined ? null : JSON.stringify(p.egress),
    limitedBy: p.limitedBy ?? null,
    startedAt: p.startedAt ?? null,
    endedAt: p.endedAt ?? null,
    swept: p.swept ? 1 : 0,
  };
}

function runRow(row: SqlRow): RunRow {
  const json = (key: string): unknown => (row[key] === null ? undefined : JSON.parse(row[key] as string));
  const orNone = (key: string): unknown => row[key] ?? undefined;
  return {
    ...row,
    spec: json("spec"),
    exit: json("exit"),
    output: json("output"),
    egress: json("egress"),
    driver: orNone("driver"),
    root: orNone("root"),
    reason: orNone("reason"),
    message: orNone("message"),
    limitedBy: orNone("limitedBy"),
    startedAt: orNone("startedAt"),
    endedAt: orNone("endedAt"),
    detached: row["detached"] === 1,
    swept: row["swept"] === 1,
  } as RunRow;
}
