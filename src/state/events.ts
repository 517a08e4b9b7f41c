import type { Database, SqlRow, Statement } from "./database.ts";
import type { EventRow } from "./rows.ts";

/** How many events are kept; the oldest go first. */
export const eventLimit = 10_000;

/** What happened, newest last: a ring with ids that only grow and are never used twice. */
export class EventTable {
  readonly #sql: Record<"append" | "prune" | "after" | "last", Statement>;

  constructor(db: Database) {
    this.#sql = {
      append: db.prepare(
        "INSERT INTO events (at, kind, subject, message, details) VALUES (:at, :kind, :subject, :message, :details) RETURNING id",
      ),
      prune: db.prepare("DELETE FROM events WHERE id <= :id"),
      after: db.prepare("SELECT id, at, kind, subject, message, details FROM events WHERE id > :after ORDER BY id LIMIT :limit"),
      last: db.prepare(
        "SELECT * FROM (SELECT id, at, kind, subject, message, details FROM events ORDER BY id DESC LIMIT :limit) ORDER BY id",
      ),
    };
  }

  /** Gives the new event's id. Put it into the transaction of what it tells, and both cost one fsync. */
  append(event: Omit<EventRow, "id">): number {
    const { at, kind, subject, message, details } = event;
    const row = this.#sql.append.get({ at, kind, subject, message, details: details === undefined ? null : JSON.stringify(details) });
    const id = Number(row?.["id"]);
    this.#sql.prune.run({ id: id - eventLimit });
    return id;
  }

  /** The oldest events past an id, in order. */
  after(id: number, limit: number): EventRow[] {
    return this.#sql.after.all({ after: id, limit }).map(eventRow);
  }

  /** The newest events, in order. */
  last(limit: number): EventRow[] {
    return this.#sql.last.all({ limit }).map(eventRow);
  }
}

function eventRow(row: SqlRow): EventRow {
  return { ...(row as EventRow), details: row["details"] === null ? undefined : JSON.parse(row["details"] as string) };
}
