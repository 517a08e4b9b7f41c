import type { Database, Statement } from "./database.ts";

/** Values of /proc/sys before we changed them, to be put back. */
export class SysctlTable {
  readonly #sql: Record<"keep" | "delete" | "all", Statement>;

  constructor(db: Database) {
    this.#sql = {
      keep: db.prepare("INSERT OR IGNORE INTO sysctls (path, previous) VALUES (:path, :previous)"),
      delete: db.prepare("DELETE FROM sysctls WHERE path = :path"),
      all: db.prepare("SELECT path, previous FROM sysctls ORDER BY path"),
    };
  }

  /** Keeps the first value it is told: a later one would be our own. */
  keep(path: string, previous: string): void {
    this.#sql.keep.run({ path, previous });
  }

  delete(path: string): void {
    this.#sql.delete.run({ path });
  }

  all(): Map<string, string> {
    return new Map(this.#sql.all.all().map((row) => [row["path"] as string, row["previous"] as string]));
  }
}
