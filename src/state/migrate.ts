import type { DatabaseSync } from "node:sqlite";
import { NexusError } from "../base/errors.ts";

/**
 * Brings a database to the newest schema, every step in a transaction of its own: a crash leaves one version or the next.
 * @throws NexusError state-corrupt when the database is newer than the steps; it is left as it is
 */
export function migrate(db: DatabaseSync, steps: readonly string[], file: string): void {
  const version = readVersion(db);
  if (version > steps.length) {
    throw new NexusError(
      "state-corrupt",
      `${file} was written by a newer Nexus (schema ${version}; this one reads up to ${steps.length})`,
      {
        hint: "start the newer version again, or use another state directory; nothing was changed",
        details: { file, version, newest: steps.length },
      },
    );
  }
  for (let next = version; next < steps.length; next++) {
    db.exec("BEGIN IMMEDIATE");
    try {
      db.exec(steps[next] ?? "");
      db.exec(`PRAGMA user_version = ${next + 1}`);
      db.exec("COMMIT");
    } finally {
      if (db.isTransaction) db.exec("ROLLBACK");
    }
  }
}

function readVersion(db: DatabaseSync): number {
  const row = db.prepare("PRAGMA user_version").get();
  return Number(row?.["user_version"]);
}
