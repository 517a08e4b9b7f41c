import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { Database } from "./database.ts";
import { openStateDirectory, type TryLock } from "./directory.ts";
import { EventTable } from "./events.ts";
import { FacilityTable } from "./facilities.ts";
import { GuestTable } from "./guests.ts";
import { NetworkTable } from "./networks.ts";
import type { GuestRecord, Identity, NetworkRow, RememberedRow } from "./rows.ts";
import { RunTable } from "./runs.ts";
import { migrations } from "./schema.ts";
import { SettingTable } from "./settings.ts";
import { SysctlTable } from "./sysctls.ts";

/** Everything at once, for the daemon's start. */
export type Snapshot = {
  networks: NetworkRow[];
  /** With those on their way out (`desired` is `absent`). */
  guests: GuestRecord[];
  remembered: RememberedRow[];
  sysctls: Map<string, string>;
  settings: Map<string, unknown>;
};

/**
 * What Nexus owns, on disk. A change survives the end of this process when its call returns, and power loss once `flush` has
 * resolved, for which every answer to a caller waits. `transaction` makes several changes one. There is one writer, this process.
 */
export class State implements Disposable {
  readonly file: string;
  readonly identity: Identity;
  readonly networks: NetworkTable;
  readonly guests: GuestTable;
  readonly facilities: FacilityTable;
  readonly events: EventTable;
  readonly runs: RunTable;
  readonly sysctls: SysctlTable;
  readonly settings: SettingTable;
  readonly #db: Database;
  readonly #stack: DisposableStack;

  private constructor(db: Database, stack: DisposableStack, clock: Pick<Clock, "now">) {
    this.#db = db;
    this.#stack = stack;
    this.file = db.file;
    this.identity = readIdentity(db, clock);
    this.networks = new NetworkTable(db);
    this.guests = new GuestTable(db);
    this.facilities = new FacilityTable(db);
    this.events = new EventTable(db);
    this.runs = new RunTable(db);
    this.sysctls = new SysctlTable(db);
    this.settings = new SettingTable(db);
  }

  /**
   * Opens the state in a directory, made when absent, and holds the directory's lock until disposed.
   * @throws NexusError daemon-running naming the pid that holds it, state-corrupt (nothing is deleted), not-permitted; KernelError when the disk fails
   */
  static open(directory: string, tryLock: TryLock, clock: Pick<Clock, "now">): State {
    using stack = new DisposableStack();
    const { database } = stack.use(openStateDirectory(directory, tryLock));
    const db = stack.use(new Database(database, migrations));
    const kept = stack.move();
    try {
      return new State(db, kept, clock);
    } catch (error) {
      kept.dispose();
      throw error;
    }
  }

  /** All changes of `work`, which must be synchronous, or none of them. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  /** Notes the machine's boot id; true when another was noted before, so that the machine has started anew since. */
  noteBoot(id: string): boolean {
    return this.#db.transaction(() => {
      const before = this.#db.prepare("SELECT boot FROM meta").get()?.["boot"];
      if (before !== id) this.#db.prepare("UPDATE meta SET boot = :id").run({ id });
      return before !== "" && before !== id;
    });
  }

  load(): Snapshot {
    return {
      networks: this.networks.all(),
      guests: this.guests.all(),
      remembered: this.guests.remembered.all(),
      sysctls: this.sysctls.all(),
      settings: this.settings.all(),
    };
  }

  /** Changes that free what others need: they may use the room that is kept for a full disk. */
  lettingGo<T>(work: () => T): T {
    return this.#db.lettingGo(work);
  }

  /** Resolves when every change so far is on the disk; callers at the same time share one flush. @throws KernelError when the disk fails */
  flush(): Promise<void> {
    return this.#db.flush();
  }

  /** For quiet moments: keeps the log from being folded in during a request. */
  checkpoint(): void {
    this.#db.checkpoint();
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

function readIdentity(db: Database, clock: Pick<Clock, "now">): Identity {
  const select = db.prepare("SELECT instance, host, created_at AS createdAt FROM meta");
  const insert = db.prepare("INSERT INTO meta (one, instance, host, created_at) VALUES (1, :instance, :host, :createdAt)");
  return db.transaction(() => {
    if (select.get() === undefined)
      insert.run({ instance: randomBytes(16).toString("hex"), host: randomBytes(5).toString("hex"), createdAt: clock.now() });
    const row = select.get();
    return { instance: String(row?.["instance"]), hostId: BigInt(`0x${String(row?.["host"])}`), createdAt: Number(row?.["createdAt"]) };
  });
}
