import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Name } from "../base/names.ts";
import type { Chronicle } from "./chronicle.ts";

/** The same line of the same guest is told again after this, milliseconds. */
const againMs = 600_000;
/** Lines of one guest in a minute; the rest of that minute is one line. */
const linesPerMinute = 20;
const minuteMs = 60_000;
/** Names remembered for one guest. */
const mostKnown = 1000;

type Page = { since: number; lines: number; left: number; known: Map<string, number> };

/** Tells what egress policies let guests reach and what they refused them, in events, and never so much that others' are lost. */
export class EgressDiary {
  readonly #chronicle: Pick<Chronicle, "tell">;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #pages = new Map<string, Page>();

  constructor(chronicle: Pick<Chronicle, "tell">, clock: Pick<Clock, "monotonic">) {
    this.#chronicle = chronicle;
    this.#clock = clock;
  }

  refused(guest: Name, name: string): void {
    this.#tell(guest, { kind: "egress.refused", message: `${guest} asked for ${name}, which its egress policy does not allow`, name });
  }

  withheld(guest: Name, name: string, why: string): void {
    this.#tell(guest, { kind: "egress.refused", message: `${guest} gets no address of ${name}: ${why}`, name });
  }

  pinned(guest: Name, name: string, addresses: readonly Ip[]): void {
    this.#tell(guest, { kind: "egress.allowed", message: `${guest} may reach ${name} at ${addresses.join(", ")}`, name, addresses });
  }

  /** The guest is gone. */
  forget(guest: Name): void {
    this.#pages.delete(guest);
  }

  #tell(guest: Name, { kind, message, ...details }: { kind: string; message: string; name: string; addresses?: readonly Ip[] }): void {
    const now = this.#clock.monotonic();
    const page = this.#pageOf(guest, now);
    if ((page.known.get(message) ?? -Infinity) > now - againMs) return;
    if (page.known.size >= mostKnown) page.known.clear();
    page.known.set(message, now);
    if (page.lines >= linesPerMinute) {
      page.left++;
      return;
    }
    page.lines++;
    this.#chronicle.tell({ kind, subject: guest, message, details });
  }

  #pageOf(guest: Name, now: number): Page {
    const page = this.#pages.get(guest) ?? { since: now, lines: 0, left: 0, known: new Map<string, number>() };
    this.#pages.set(guest, page);
    if (now - page.since < minuteMs) return page;
    if (page.left > 0)
      this.#chronicle.tell({
        kind: "egress.more",
        subject: guest,
        message: `${page.left} more egress decisions for ${guest} within a minute`,
      });
    page.since = now;
    page.lines = 0;
    page.left = 0;
    return page;
  }
}
