import type { Database, Statement } from "./database.ts";

/** What `nexus config set` stored. Values are JSON. */
export class SettingTable {
  readonly #sql: Record<"set" | "delete" | "all", Statement>;

  constructor(db: Database) {
    this.#sql = {
      set: db.prepare("INSERT INTO settings (key, value) VALUES (:key, :value) ON CONFLICT DO UPDATE SET value = excluded.value"),
      delete: db.prepare("DELETE FROM settings WHERE key = :key"),
      all: db.prepare("SELECT key, value FROM settings ORDER BY key"),
    };
  }

  set(key: string, value: unknown): void {
    this.#sql.set.run({ key, value: JSON.stringify(value) });
  }

  delete(key: string): void {
    this.#sql.delete.run({ key });
  }

  all(): Map<string, unknown> {
    return new Map(this.#sql.all.all().map((row) => [row["key"] as string, JSON.parse(row["value"] as string)]));
  }
}
