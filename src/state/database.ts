import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { corrupt, stateFault } from "./faults.ts";
import { KernelError } from "../base/errors.ts";
import { Flusher } from "./flusher.ts";
import { migrate } from "./migrate.ts";
import { Reserve } from "./reserve.ts";

export type SqlRow = Record<string, unknown>;
export type SqlValues = Record<string, SQLInputValue>;

/** One prepared statement. Errors come in Nexus' terms and name the file. */
export type Statement = {
  run(values?: SqlValues): number;
  get(values?: SqlValues): SqlRow | undefined;
  all(values?: SqlValues): SqlRow[];
};

/**
 * An open SQLite database (WAL, synchronous=NORMAL). A commit survives the end of this process when it returns, and power loss
 * once `flush` has resolved: the two are apart so that the kernel's work on a request and the disk's go on at the same time.
 */
export class Database implements Disposable {
  readonly file: string;
  readonly #db: DatabaseSync;
  readonly #flusher: Flusher;
  readonly #reserve: Reserve;
  readonly #transaction: Record<"begin" | "commit" | "rollback" | "save" | "release" | "undo", StatementSync>;

  /** @throws NexusError state-corrupt, not-permitted or daemon-running; KernelError when the disk fails */
  constructor(file: string, steps: readonly string[]) {
    this.file = file;
    this.#db = open(file, steps);
    this.#flusher = new Flusher(`${file}-wal`);
    this.#reserve = new Reserve(`${file}-reserve`);
    this.#transaction = {
      begin: this.#db.prepare("BEGIN IMMEDIATE"),
      commit: this.#db.prepare("COMMIT"),
      rollback: this.#db.prepare("ROLLBACK"),
      save: this.#db.prepare("SAVEPOINT inner"),
      release: this.#db.prepare("RELEASE inner"),
      undo: this.#db.prepare("ROLLBACK TO inner"),
    };
  }

  /** Named parameters without their colon: `{ name }` for `:name`. */
  prepare(sql: string): Statement {
    const statement = this.#db.prepare(sql);
    const fault = (error: unknown): unknown => stateFault(error, this.file, operation(sql));
    const flusher = this.#flusher;
    return {
      run(values = {}) {
        try {
          const changes = Number(statement.run(values).changes);
          flusher.note();
          return changes;
        } catch (error) {
          throw fault(error);
        }
      },
      get(values = {}) {
        try {
          return statement.get(values);
        } catch (error) {
          throw fault(error);
        }
      },
      all(values = {}) {
        try {
          return statement.all(values);
        } catch (error) {
          throw fault(error);
        }
      },
    };
  }

  /** All of `work`'s changes as one commit, or none of them. Nested calls are part of the outer one, and undone alone when they throw. */
  transaction<T>(work: () => T): T {
    const sql = this.#transaction;
    const nested = this.#db.isTransaction;
    this.#guard("begin", () => (nested ? sql.save : sql.begin).run());
    try {
      const result = work();
      if (result instanceof Promise) throw new TypeError("a transaction cannot wait: its work must be synchronous");
      this.#guard("commit", () => (nested ? sql.release : sql.commit).run());
      this.#flusher.note();
      return result;
    } catch (error) {
      // SQLite rolls back by itself on a full disk or an I/O error; then there is nothing left to undo.
      if (this.#db.isTransaction) {
        if (nested) sql.undo.run();
        (nested ? sql.release : sql.rollback).run();
      }
      throw error;
    }
  }

  /** Work that frees what others need, and so may use the room that was kept for it when the disk is full. */
  lettingGo<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const full = error instanceof KernelError && (error.errno === "ENOSPC" || error.errno === "EIO");
      if (!full || this.#db.isTransaction || !this.#reserve.free()) throw error;
      return work();
    }
  }

  /** Resolves when all commits so far are on the disk. @throws KernelError when the disk fails */
  flush(): Promise<void> {
    return this.#flusher.flush();
  }

  /** Moves the log into the database file. SQLite does it by itself after so many pages, within some commit; this chooses the moment. */
  checkpoint(): void {
    this.#reserve.keep();
    this.#guard("checkpoint", () => this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)"));
  }

  [Symbol.dispose](): void {
    this.#flusher[Symbol.dispose]();
    if (this.#db.isOpen) this.#db.close();
  }

  #guard<T>(op: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw stateFault(error, this.file, operation(op));
    }
  }
}

/**
 * When SQLite folds the log in by itself, which waits for the disk three times on the event loop: every 40 guests made and removed at its
 * own 1,000. As many as one table of the log's index holds, so that looking a page up costs no more (sqlite.org/walformat.html); 16 MiB.
 */
const pagesOfLog = 4000;

function open(file: string, steps: readonly string[]): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { timeout: 2000, enableForeignKeyConstraints: true });
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;");
    db.exec(`PRAGMA wal_autocheckpoint = ${pagesOfLog}`);
    checkIntegrity(db, file);
    migrate(db, steps, file);
    return db;
  } catch (error) {
    db?.close();
    throw stateFault(error, file, "open");
  }
}

function checkIntegrity(db: DatabaseSync, file: string): void {
  const problems = db
    .prepare("PRAGMA integrity_check(3)")
    .all()
    .map((row) => String(row["integrity_check"]));
  if (problems.length !== 1 || problems[0] !== "ok") throw corrupt(file, problems.join("; "));
  const orphan = db.prepare("PRAGMA foreign_key_check").get();
  if (orphan !== undefined)
    throw corrupt(file, `a row of ${String(orphan["table"])} refers to a ${String(orphan["parent"])} that is not there`);
}

/** The first words of a statement: enough for an error, without the values. */
function operation(sql: string): string {
  return sql.trim().split(/\s+/).slice(0, 3).join(" ").toLowerCase();
}
