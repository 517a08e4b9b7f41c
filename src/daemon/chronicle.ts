import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { EventView } from "../spec/views.ts";
import type { EventRow } from "../state/rows.ts";
import type { EventTable } from "../state/events.ts";

export type Happening = { kind: string; subject: string; message: string; details?: Record<string, unknown> };

/** What happened, written down and told to whoever listens. */
export class Chronicle {
  readonly #table: EventTable;
  readonly #clock: Pick<Clock, "now">;
  readonly #log: Log;
  readonly #listeners = new Set<(event: EventView) => void>();

  constructor(table: EventTable, clock: Pick<Clock, "now">, log: Log) {
    this.#table = table;
    this.#clock = clock;
    this.#log = log;
  }

  tell(happening: Happening): void {
    const row = {
      at: this.#clock.now(),
      kind: happening.kind,
      subject: happening.subject,
      message: happening.message,
      details: happening.details,
    };
    this.#log.info({ event: happening.kind, subject: happening.subject, ...happening.details }, happening.message);
    const id = this.#append(row);
    if (id === undefined) return;
    const view = eventView({ id, ...row });
    for (const listener of this.#listeners) listener(view);
  }

  /** What has happened has happened, also when a full disk keeps it from being written down. */
  #append(row: Omit<EventRow, "id">): number | undefined {
    try {
      return this.#table.append(row);
    } catch (error) {
      this.#log.error({ event: row.kind, error: String(error) }, "an event could not be written down");
      return undefined;
    }
  }

  /**
   * Everything since an id (0: all that is kept), and with `follow` what comes, until the signal. A reader that falls far
   * behind reads on from the table, where what is older than the newest `eventLimit` has gone.
   */
  async *read(options: { since: number; follow: boolean; signal: AbortSignal }): AsyncGenerator<EventView> {
    const waiting: EventView[] = [];
    // While it is, the table has what comes, and nothing needs to wait in memory.
    let behind = true;
    let wake: () => void = () => {};
    const listener = (event: EventView) => {
      if (!behind && waiting.push(event) > maxWaiting) {
        waiting.length = 0;
        behind = true;
      }
      wake();
    };
    if (options.follow) this.#listeners.add(listener);
    const aborted = () => wake();
    options.signal.addEventListener("abort", aborted);
    try {
      let last = options.since;
      while (!options.signal.aborted) {
        if (behind) {
          const page = this.#table.after(last, pageRows);
          behind = page.length === pageRows;
          for (const row of page) {
            last = row.id;
            yield eventView(row);
          }
          continue;
        }
        const event = waiting.shift();
        if (event !== undefined) {
          last = event.id;
          yield event;
        } else if (options.follow) await new Promise<void>((resolve) => (wake = resolve));
        else return;
      }
    } finally {
      this.#listeners.delete(listener);
      options.signal.removeEventListener("abort", aborted);
    }
  }
}

const pageRows = 500;

/** How many events wait for one slow reader before it is sent back to the table. */
const maxWaiting = 1000;

function eventView(row: EventRow): EventView {
  const { id, kind, subject, message, details } = row;
  return { id, at: new Date(row.at).toISOString(), kind, subject, message, ...(details === undefined ? {} : { details }) };
}
