import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import type { VerbContext } from "../context.ts";
import { NexusError } from "../../base/errors.ts";

/**
 * Changes to one project by one command at a time; a second one waits. An empty SQLite database is the lock: the system lets go of it
 * however the holder ends. @throws the signal's reason; NexusError timeout
 */
export async function lockProject(c: VerbContext, directory: string, signal: AbortSignal): Promise<Disposable> {
  const { env, uid } = c.io;
  const state = uid === 0 ? "/var/lib/nexus" : join(env["XDG_STATE_HOME"] ?? join(env["HOME"] ?? "/", ".local/state"), "nexus");
  const place = join(state, "projects");
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const name = createHash("sha256").update(directory).digest("hex").slice(0, 32);
  const db = new DatabaseSync(join(place, `${name}.lock`), { timeout: 0 });
  const end = performance.now() + patienceMs;
  let told = false;
  for (;;) {
    try {
      db.exec("BEGIN EXCLUSIVE");
      return { [Symbol.dispose]: () => db.close() };
    } catch (error) {
      if (!isBusy(error)) {
        db.close();
        throw error;
      }
    }
    if (!told) c.out.note("another command changes this project: waiting for it");
    told = true;
    try {
      await delay(50, undefined, { signal });
      if (performance.now() > end) throw new NexusError("timeout", "another command has changed this project for ten minutes");
    } catch (error) {
      db.close();
      throw error;
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === sqliteBusy;
}

/** SQLITE_BUSY of sqlite3.h. */
const sqliteBusy = 5;
const patienceMs = 600_000;
