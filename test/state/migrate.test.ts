import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Database } from "../../src/state/database.ts";
import { migrations } from "../../src/state/schema.ts";
import type { GuestRecord } from "../../src/state/rows.ts";
import { guest, network, openState, temporaryDirectory } from "./sample.ts";

/** Of a daemon that knew no virtual machines: two networks with guests, one of them on its way out, and what they hold. */
const networks = [network("lan", 7), network("dmz", 8)] as const;
const guests: GuestRecord[] = [
  { ...guest(networks[0], 2), state: "running", startedAt: 5, runtime: "crun", epoch: 3 },
  { ...guest(networks[0], 3), state: "exited", exit: { code: 3, oomKilled: false, at: "2026-01-01T00:00:00.000Z", lastLines: ["so"] } },
  { ...guest(networks[1], 4), desired: "stopped", state: "failed", problem: "no such image", restarts: 9 },
];

function writeVersion1(file: string): void {
  using db = new Database(file, migrations.slice(0, 1));
  const insert = (table: string, row: Record<string, string | number | null>) =>
    db
      .prepare(
        `INSERT INTO ${table} VALUES (${Object.keys(row)
          .map((key) => `:${key}`)
          .join(", ")})`,
      )
      .run(row);
  for (const { name, index, bridge, mac, spec, createdAt, subnets } of networks) {
    const { dhcp: _, ...before } = spec;
    insert("networks", { name, index, bridge, mac, spec: JSON.stringify(before), createdAt });
    subnets.forEach((subnet, position) => insert("subnets", { network: name, position, ...subnet }));
  }
  for (const one of guests) {
    const { id, name, kind, desired, state, problem, restarts, epoch, runtime, createdAt, startedAt } = one;
    const exit = one.exit === undefined ? null : JSON.stringify(one.exit);
    insert("guests", {
      id,
      name,
      kind,
      spec: JSON.stringify(one.spec),
      desired,
      state,
      exit,
      problem: problem ?? null,
      restarts,
      epoch,
      runtime: runtime ?? null,
      createdAt,
      startedAt: startedAt ?? null,
    });
    for (const { nic, network: on, hostInterface, mac, epoch: made } of one.attachments)
      insert("attachments", { guest: id, nic, on, hostInterface, mac, made });
    for (const { network: on, address, nic, since } of one.leases) insert("leases", { on, address, guest: id, nic, since });
    one.publishes.forEach(({ protocol, hostPort, guestPort }, position) =>
      insert("publishes", { id, position, protocol, hostAddress: "", hostPort, hostPortEnd: hostPort, guestPort }),
    );
  }
  insert("remembered", { seq: 1, network: "lan", owner: "gone/0", family: 4, address: "10.7.0.99" });
  insert("events", { id: 41, at: 1, kind: "node.created", subject: "g2", message: "made", details: null });
}

test("what a daemon without virtual machines kept is there after the update, and networks tell addresses by DHCP", () => {
  using directory = temporaryDirectory();
  writeVersion1(join(directory.path, "nexus.db"));
  using state = openState(directory.path);
  const { networks: found, guests: kept } = state.load();
  assert.deepEqual(found, networks);
  assert.ok(found.every(({ spec }) => spec.dhcp));
  assert.deepEqual(kept, guests);
  assert.equal(state.guests.remembered.find(networks[0].name, "gone/0", 4), "10.7.0.99");
  assert.deepEqual(
    state.events.after(0, 10).map((event) => event.id),
    [41],
  );
});

test("after the update rows still go with what they belong to, and names are still taken once", () => {
  using directory = temporaryDirectory();
  writeVersion1(join(directory.path, "nexus.db"));
  using state = openState(directory.path);
  const [first] = guests;
  assert.throws(() => state.guests.insert({ ...guest(networks[0], 20), name: first?.name ?? assert.fail() }), /of that name exists/);
  for (const { id } of guests) state.guests.delete(id);
  using db = new Database(join(directory.path, "nexus.db"), migrations);
  for (const table of ["attachments", "leases", "publishes"])
    assert.deepEqual({ ...db.prepare(`SELECT count(*) AS n FROM ${table}`).get() }, { n: 0 }, table);
});

test("cut short at any statement, the update is begun again from the old schema", () => {
  const [first = "", second = "", ...later] = migrations;
  const statements = second.split(";").filter((text) => text.trim() !== "");
  for (const k of statements.keys()) {
    using directory = temporaryDirectory();
    const file = join(directory.path, "nexus.db");
    writeVersion1(file);
    assert.throws(() => new Database(file, [first, `${statements.slice(0, k + 1).join(";")}; SELECT no_such_function()`]));
    {
      using old = new Database(file, [first]);
      assert.deepEqual({ ...old.prepare("SELECT count(*) AS n FROM guests").get() }, { n: guests.length }, `after statement ${k}`);
    }
    using next = new Database(file, [first, second, ...later]);
    assert.deepEqual({ ...next.prepare("SELECT count(*) AS n FROM leases").get() }, { n: guests.length });
  }
});
