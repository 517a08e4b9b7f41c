import { NexusError } from "../base/errors.ts";
import type { PublishSpec } from "../spec/node.ts";
import type { Database, SqlRow } from "./database.ts";
import { Remembered } from "./remembered.ts";
import type { AttachmentRow, GuestRecord, GuestRow, LeaseRow, Lifecycle } from "./rows.ts";

/** Guests with their attachments, leases and publishes. A row stands before its kernel object is made and until it is gone. */
export class GuestTable {
  readonly #db: Database;
  readonly #sql;
  readonly remembered: Remembered;

  constructor(db: Database) {
    this.#db = db;
    this.remembered = new Remembered(db);
    this.#sql = {
      insert: db.prepare(`
        INSERT INTO guests (id, name, kind, spec, desired, state, exit, problem, restarts, epoch, runtime, created_at, started_at)
        VALUES (:id, :name, :kind, :spec, :desired, :state, :exit, :problem, :restarts, :epoch, :runtime, :createdAt, :startedAt)`),
      update: db.prepare(`
        UPDATE guests SET desired = :desired, state = :state, exit = :exit, problem = :problem, restarts = :restarts,
          epoch = :epoch, runtime = :runtime, started_at = :startedAt WHERE id = :id`),
      delete: db.prepare("DELETE FROM guests WHERE id = :id"),
      respecify: db.prepare("UPDATE guests SET spec = :spec WHERE id = :id"),
      retire: db.prepare("UPDATE guests SET desired = 'absent' WHERE id = :id"),
      attachment: db.prepare(
        "INSERT INTO attachments (guest, nic, network, host_interface, mac, epoch) VALUES (:guest, :nic, :network, :hostInterface, :mac, :epoch)",
      ),
      lease: db.prepare("INSERT INTO leases (network, address, guest, nic, since) VALUES (:network, :address, :guest, :nic, :since)"),
      publish: db.prepare(`
        INSERT INTO publishes (guest, position, protocol, host_address, host_port, host_port_end, guest_port)
        VALUES (:guest, :position, :protocol, :hostAddress, :hostPort, :hostPortEnd, :guestPort)`),
      dropAttachments: db.prepare("DELETE FROM attachments WHERE guest = :guest"),
      dropLeases: db.prepare("DELETE FROM leases WHERE guest = :guest"),
      dropPublishes: db.prepare("DELETE FROM publishes WHERE guest = :guest"),
      all: db.prepare(`
        SELECT id, name, kind, spec, desired, state, exit, problem, restarts, epoch, runtime, created_at AS createdAt, started_at AS startedAt
        FROM guests ORDER BY created_at, id`),
      attachments: db.prepare(
        "SELECT guest, nic, network, host_interface AS hostInterface, mac, epoch FROM attachments ORDER BY guest, nic",
      ),
      leases: db.prepare("SELECT guest, network, address, nic, since FROM leases ORDER BY guest, nic, address"),
      publishes: db.prepare(`
        SELECT guest, protocol, host_address AS hostAddress, host_port AS hostPort, host_port_end AS hostPortEnd, guest_port AS guestPort
        FROM publishes ORDER BY guest, position`),
    };
  }

  /** The guest and all it holds, with one fsync. @throws NexusError name-taken, address-taken or port-taken; then nothing is written */
  insert(guest: GuestRecord): void {
    this.#db.transaction(() => {
      const { id, name, kind, createdAt } = guest;
      this.#sql.insert.run({ id, name, kind, createdAt, spec: JSON.stringify(guest.spec), ...lifecycleValues(guest) });
      this.#insertHeld(id, guest);
      this.#insertPublishes(id, guest.publishes);
    });
  }

  setLifecycle(id: string, lifecycle: Lifecycle): void {
    const changed = this.#db.lettingGo(() => this.#sql.update.run({ id, ...lifecycleValues(lifecycle) }));
    if (changed === 0) throw new NexusError("not-found", `no guest with id ${id}`);
  }

  /** New interfaces for a guest, as one change; its old leases end. */
  setAttachments(id: string, held: Pick<GuestRecord, "attachments" | "leases">): void {
    this.#db.transaction(() => {
      this.#sql.dropAttachments.run({ guest: id });
      this.#insertHeld(id, held);
    });
  }

  setSpec(id: string, spec: GuestRecord["spec"]): void {
    this.#sql.respecify.run({ id, spec: JSON.stringify(spec) });
  }

  setPublishes(id: string, publishes: readonly PublishSpec[]): void {
    this.#db.transaction(() => {
      this.#sql.dropPublishes.run({ guest: id });
      this.#insertPublishes(id, publishes);
    });
  }

  /** A removed guest whose interfaces still have to go: name, addresses and ports are free for others at once. */
  retire(id: string): void {
    this.#letGo(() => {
      this.remembered.keep(id);
      this.#sql.dropLeases.run({ guest: id });
      this.#sql.dropPublishes.run({ guest: id });
      this.#sql.retire.run({ id });
    });
  }

  /** The end, once its kernel objects are gone; nothing when it is removed already. */
  delete(id: string): void {
    this.#letGo(() => {
      this.remembered.keep(id);
      this.#sql.delete.run({ id });
    });
  }

  #letGo(work: () => void): void {
    this.#db.lettingGo(() => this.#db.transaction(work));
  }

  all(): GuestRecord[] {
    const of = (rows: SqlRow[]) => Map.groupBy(rows, (row) => row["guest"] as string);
    const attachments = of(this.#sql.attachments.all());
    const leases = of(this.#sql.leases.all());
    const publishes = of(this.#sql.publishes.all());
    return this.#sql.all.all().map((row) => {
      const id = row["id"] as string;
      return {
        ...guestRow(row),
        attachments: (attachments.get(id) ?? []).map(attachmentRow),
        leases: (leases.get(id) ?? []).map(leaseRow),
        publishes: (publishes.get(id) ?? []).map(publishRow),
      };
    });
  }

  #insertHeld(guest: string, held: Pick<GuestRecord, "attachments" | "leases">): void {
    for (const { nic, network, hostInterface, mac, epoch } of held.attachments)
      this.#sql.attachment.run({ guest, nic, network, hostInterface, mac, epoch });
    for (const { network, address, nic, since } of held.leases) this.#sql.lease.run({ guest, network, address, nic, since });
  }

  #insertPublishes(guest: string, publishes: readonly PublishSpec[]): void {
    publishes.forEach((p, position) =>
      this.#sql.publish.run({
        guest,
        position,
        protocol: p.protocol,
        hostAddress: p.hostAddress ?? "",
        hostPort: p.hostPort,
        hostPortEnd: p.hostPortEnd ?? p.hostPort,
        guestPort: p.guestPort,
      }),
    );
  }
}

function lifecycleValues(l: Lifecycle) {
  return {
    desired: l.desired,
    state: l.state,
    exit: l.exit === undefined ? null : JSON.stringify(l.exit),
    problem: l.problem ?? null,
    restarts: l.restarts,
    epoch: l.epoch,
    runtime: l.runtime ?? null,
    startedAt: l.startedAt ?? null,
  };
}

/** Branded columns were checked when they were written, so they are believed; STRICT keeps their types. */
function guestRow(row: SqlRow): GuestRow {
  return {
    ...(row as GuestRow),
    spec: JSON.parse(row["spec"] as string),
    exit: row["exit"] === null ? undefined : JSON.parse(row["exit"] as string),
    problem: (row["problem"] as string | null) ?? undefined,
    runtime: (row["runtime"] as string | null) ?? undefined,
    startedAt: (row["startedAt"] as number | null) ?? undefined,
  };
}

function attachmentRow({ nic, network, hostInterface, mac, epoch }: SqlRow): AttachmentRow {
  return { nic, network, hostInterface, mac, epoch } as AttachmentRow;
}

function leaseRow({ network, address, nic, since }: SqlRow): LeaseRow {
  return { network, address, nic, since } as LeaseRow;
}

function publishRow(row: SqlRow): PublishSpec {
  const { protocol, hostAddress, hostPort, hostPortEnd, guestPort } = row;
  return {
    protocol,
    ...(hostAddress === "" ? {} : { hostAddress }),
    hostPort,
    ...(hostPortEnd === hostPort ? {} : { hostPortEnd }),
    guestPort,
  } as PublishSpec;
}
