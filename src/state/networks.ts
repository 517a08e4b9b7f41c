import { NexusError } from "../base/errors.ts";
import type { Name } from "../base/names.ts";
import type { NetworkSpec } from "../spec/network.ts";
import type { Database, SqlRow } from "./database.ts";
import type { NetworkRow, SubnetRow } from "./rows.ts";

export class NetworkTable {
  readonly #db: Database;
  readonly #sql;

  constructor(db: Database) {
    this.#db = db;
    this.#sql = {
      insert: db.prepare(
        "INSERT INTO networks (name, idx, bridge, mac, spec, created_at) VALUES (:name, :index, :bridge, :mac, :spec, :createdAt)",
      ),
      subnet: db.prepare("INSERT INTO subnets (network, position, prefix, gateway) VALUES (:network, :position, :prefix, :gateway)"),
      spec: db.prepare("UPDATE networks SET spec = :spec WHERE name = :name"),
      delete: db.prepare("DELETE FROM networks WHERE name = :name"),
      all: db.prepare("SELECT name, idx AS 'index', bridge, mac, spec, created_at AS createdAt FROM networks ORDER BY idx"),
      subnets: db.prepare("SELECT network, prefix, gateway FROM subnets ORDER BY network, position"),
      freeIndex: db.prepare(`
        SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM networks WHERE idx = 1) THEN 1
        ELSE (SELECT min(a.idx) + 1 FROM networks a WHERE NOT EXISTS (SELECT 1 FROM networks b WHERE b.idx = a.idx + 1)) END AS 'index'`),
    };
  }

  /** @throws NexusError name-taken or subnet-overlap when another network has the name, bridge or subnet */
  insert(row: NetworkRow): void {
    this.#db.transaction(() => {
      const { name, index, bridge, mac, createdAt } = row;
      this.#sql.insert.run({ name, index, bridge, mac, createdAt, spec: JSON.stringify(row.spec) });
      row.subnets.forEach(({ prefix, gateway }, position) => this.#sql.subnet.run({ network: name, position, prefix, gateway }));
    });
  }

  setSpec(name: Name, spec: NetworkSpec): void {
    if (this.#sql.spec.run({ name, spec: JSON.stringify(spec) }) === 0) throw new NexusError("not-found", `no network ${name}`);
  }

  /** Removes it with its subnets and what was remembered of them; nothing when it is gone already. @throws NexusError in-use while guests are attached */
  delete(name: Name): void {
    this.#sql.delete.run({ name });
  }

  /** The smallest index no network has, 1 or more. */
  freeIndex(): number {
    return Number(this.#sql.freeIndex.get()?.["index"]);
  }

  all(): NetworkRow[] {
    const subnets = Map.groupBy(this.#sql.subnets.all(), (row) => row["network"] as string);
    return this.#sql.all.all().map((row) => networkRow(row, subnets.get(row["name"] as string) ?? []));
  }
}

function networkRow(row: SqlRow, subnets: readonly SqlRow[]): NetworkRow {
  return {
    ...(row as Omit<NetworkRow, "spec" | "subnets">),
    spec: JSON.parse(row["spec"] as string),
    subnets: subnets.map(({ prefix, gateway }) => ({ prefix, gateway }) as SubnetRow),
  };
}
