import type { Name } from "../base/names.ts";
import type { FacilitySpec } from "../spec/facility.ts";
import type { Database, SqlRow, Statement } from "./database.ts";
import type { FacilityRow } from "./rows.ts";

/** Facilities and who has their locks. A row stands before its files are made and until they are gone. */
export class FacilityTable {
  readonly #sql: Record<"insert" | "state" | "delete" | "lock" | "unlock" | "all" | "one" | "freeIndex", Statement>;

  constructor(db: Database) {
    const columns = "name, idx AS 'index', spec, state, holder, held_since AS heldSince, epoch, created_at AS createdAt";
    this.#sql = {
      insert: db.prepare(
        "INSERT INTO facilities (name, idx, spec, state, epoch, created_at) VALUES (:name, :index, :spec, 'making', 0, :createdAt)",
      ),
      state: db.prepare("UPDATE facilities SET state = :state WHERE name = :name"),
      delete: db.prepare("DELETE FROM facilities WHERE name = :name"),
      lock: db.prepare(
        "UPDATE facilities SET holder = :run, held_since = :since, epoch = epoch + 1 WHERE name = :name AND state = 'ready' AND holder IS NULL",
      ),
      unlock: db.prepare("UPDATE facilities SET holder = NULL, held_since = NULL, epoch = epoch + 1 WHERE name = :name AND epoch = :epoch"),
      all: db.prepare(`SELECT ${columns} FROM facilities ORDER BY name`),
      one: db.prepare(`SELECT ${columns} FROM facilities WHERE name = :name`),
      freeIndex: db.prepare(`
        SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM facilities WHERE idx = 1) THEN 1
        ELSE (SELECT min(a.idx) + 1 FROM facilities a WHERE NOT EXISTS (SELECT 1 FROM facilities b WHERE b.idx = a.idx + 1)) END AS 'index'`),
    };
  }

  /** As `making`. @throws NexusError name-taken */
  insert(row: { name: Name; index: number; spec: FacilitySpec; createdAt: number }): void {
    this.#sql.insert.run({ ...row, spec: JSON.stringify(row.spec) });
  }

  setState(name: Name, state: FacilityRow["state"]): void {
    this.#sql.state.run({ name, state });
  }

  /** Nothing when it is gone already. */
  delete(name: Name): void {
    this.#sql.delete.run({ name });
  }

  /** The new epoch, or undefined when somebody has the lock or it is not ready. */
  lock(name: Name, run: string, since: number): number | undefined {
    return this.#sql.lock.run({ name, run, since }) === 1 ? this.find(name)?.epoch : undefined;
  }

  /** False when the epoch has gone up since: another has the lock, or it was broken. */
  unlock(name: Name, epoch: number): boolean {
    return this.#sql.unlock.run({ name, epoch }) === 1;
  }

  find(name: Name): FacilityRow | undefined {
    const row = this.#sql.one.get({ name });
    return row === undefined ? undefined : facilityRow(row);
  }

  /** In the order of their names. */
  all(): FacilityRow[] {
    return this.#sql.all.all().map(facilityRow);
  }

  /** The smallest index no facility has, 1 or more. */
  freeIndex(): number {
    return Number(this.#sql.freeIndex.get()?.["index"]);
  }
}

function facilityRow(row: SqlRow): FacilityRow {
  const { name, index, spec, state, holder, heldSince, epoch, createdAt } = row;
  const lock = holder === null ? undefined : { run: holder, since: heldSince };
  return { name, index, spec: JSON.parse(spec as string), state, lock, epoch, createdAt } as FacilityRow;
}
