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

  /** Everything since an id (0: all that is kept), and with `follow` what comes, until the signal. */
  async *read(options: { since: number; follow: boolean; signal: AbortSignal }): AsyncGenerator<EventView> {
    const waiting: EventView[] = [];
    let wake: () => void = () => {};
    const listener = (event: EventView) => {
      waiting.push(event);
      wake();
    };
    if (options.follow) this.#listeners.add(listener);
    const aborted = () => wake();
    options.signal.addEventListener("abort", aborted);
    try {
      let last = options.since;
      for (;;) {
        const page = this.#table.after(last, 500);
        for (const row of page) yield eventView(row);
        last = page.at(-1)?.id ?? last;
        if (page.length < 500) break;
      }
      while (options.follow && !options.signal.aborted) {
        const event = waiting.shift();
        if (event === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else if (event.id > last) yield event;
      }
    } finally {
      this.#listeners.delete(listener);
      options.signal.removeEventListener("abort", aborted);
    }
  }
}

function eventView(row: EventRow): EventView {
  const { id, kind, subject, message, details } = row;
  return { id, at: new Date(row.at).toISOString(), kind, subject, message, ...(details === undefined ? {} : { details }) };
}
