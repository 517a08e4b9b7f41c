import type { Ip, IpFamily } from "../base/ip.ts";
import type { Name } from "../base/names.ts";
import type { Database, Statement } from "./database.ts";
import type { RememberedRow } from "./rows.ts";

/** How many last addresses are kept; the oldest go first. */
export const rememberedLimit = 10_000;

/** Addresses of guests that are gone, so that a guest made again under the same name gets its address back. */
export class Remembered {
  readonly #sql: Record<"keep" | "find" | "all" | "prune", Statement>;
  #sincePrune = 0;

  constructor(db: Database) {
    this.#sql = {
      keep: db.prepare(`
        INSERT OR REPLACE INTO remembered (network, owner, family, address)
        SELECT l.network, g.name || '/' || l.nic, CASE WHEN instr(l.address, ':') THEN 6 ELSE 4 END, l.address
        FROM leases l JOIN guests g ON g.id = l.guest WHERE l.guest = :guest`),
      find: db.prepare("SELECT address FROM remembered WHERE network = :network AND owner = :owner AND family = :family"),
      all: db.prepare("SELECT network, owner, address FROM remembered ORDER BY seq"),
      prune: db.prepare("DELETE FROM remembered WHERE seq <= (SELECT seq FROM remembered ORDER BY seq DESC LIMIT 1 OFFSET :keep)"),
    };
    this.#prune();
  }

  /** Remembers every lease the guest has now. Called inside the transaction that ends them. */
  keep(guestId: string): void {
    this.#sincePrune += this.#sql.keep.run({ guest: guestId });
    if (this.#sincePrune >= 128) this.#prune();
  }

  find(network: Name, owner: string, family: IpFamily): Ip | undefined {
    return this.#sql.find.get({ network, owner, family })?.["address"] as Ip | undefined;
  }

  /** Oldest first. */
  all(): RememberedRow[] {
    return this.#sql.all.all() as RememberedRow[];
  }

  /** Counting through the table costs too much for every removal, so some room is made at once. */
  #prune(): void {
    this.#sql.prune.run({ keep: rememberedLimit - 256 });
    this.#sincePrune = 0;
  }
}
