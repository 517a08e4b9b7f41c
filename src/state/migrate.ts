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
  // A table that is made anew is dropped in between, and what refers to it must not go with it (https://sqlite.org/lang_altertable.html §7).
  db.exec("PRAGMA foreign_keys = OFF");
  try {
    for (let next = version; next < steps.length; next++) takeStep(db, { text: steps[next] ?? "", leadsTo: next + 1 });
  } finally {
    db.exec("PRAGMA foreign_keys = ON");
  }
}

function takeStep(db: DatabaseSync, step: { text: string; leadsTo: number }): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(step.text);
    const orphan = db.prepare("PRAGMA foreign_key_check").get();
    if (orphan !== undefined)
      throw new NexusError("internal", `schema ${step.leadsTo} would leave rows of ${String(orphan["table"])} without what they refer to`);
    db.exec(`PRAGMA user_version = ${step.leadsTo}`);
    db.exec("COMMIT");
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
}

function readVersion(db: DatabaseSync): number {
  const row = db.prepare("PRAGMA user_version").get();
  return Number(row?.["user_version"]);
}
