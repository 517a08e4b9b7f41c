import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, KernelError, NexusError } from "../../src/base/errors.ts";
import type { Name } from "../../src/base/names.ts";
import { Database } from "../../src/state/database.ts";
import { eventLimit } from "../../src/state/events.ts";
import { rememberedLimit } from "../../src/state/remembered.ts";
import type { GuestRecord } from "../../src/state/rows.ts";
import { migrations } from "../../src/state/schema.ts";
import { guest, network, openState, temporaryDirectory } from "./sample.ts";

test("everything written comes back the same after a restart", () => {
  using directory = temporaryDirectory();
  const nets = [network("default", 1), network("blue", 2)];
  const plain = guest(nets[0]!, 2);
  const full: GuestRecord = {
    ...guest(nets[1]!, 3),
    state: "exited",
    exit: { code: 137, signal: "SIGKILL", oomKilled: true, at: "2026-01-01T00:00:00Z", lastLines: ["out of", "memory"] },
    problem: "killed",
    restarts: 4,
    runtime: "crun",
    startedAt: 12,
  };
  full.publishes.push({
    protocol: "udp",
    hostAddress: "127.0.0.1" as never,
    hostPort: 5000 as never,
    hostPortEnd: 5010 as never,
    guestPort: 6000 as never,
  });
  const event = { at: 5, kind: "guest.created", subject: "g2", message: "created", details: { a: [1] } };
  {
    using state = openState(directory.path);
    for (const net of nets) state.networks.insert(net);
    state.guests.insert(plain);
    state.guests.insert(full);
    state.sysctls.keep("net.ipv4.ip_forward", "0");
    state.sysctls.keep("net.ipv4.ip_forward", "1");
    state.settings.set("network.dns_servers", ["9.9.9.9"]);
    state.events.append(event);
  }
  using state = openState(directory.path);
  const all = state.load();
  assert.deepEqual(all.networks, nets);
  assert.deepEqual(all.guests.map(bare), [plain, full].map(bare));
  assert.deepEqual([...all.sysctls], [["net.ipv4.ip_forward", "0"]]);
  assert.deepEqual([...all.settings], [["network.dns_servers", ["9.9.9.9"]]]);
  assert.deepEqual(state.events.after(0, 10).map(bare), [{ id: 1, ...event }]);
});

test("a guest that cannot be written whole is not written at all", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const net = network("default", 1);
  state.networks.insert(net);
  state.guests.insert(guest(net, 2));
  const clash = (change: (g: GuestRecord) => Partial<GuestRecord>, code: ErrorCode) => {
    const other = guest(net, 3);
    raises(() => state.guests.insert({ ...other, ...change(other) } as GuestRecord), code);
    assert.equal(state.load().guests.length, 1);
  };
  clash(() => ({ name: "g2" as Name }), "name-taken");
  clash((g) => ({ leases: g.leases.map((l) => ({ ...l, address: guest(net, 2).leases[0]!.address })) }), "address-taken");
  clash(() => ({ publishes: guest(net, 2).publishes }), "port-taken");
  clash((g) => ({ attachments: g.attachments.map((a) => ({ ...a, network: "nowhere" as Name })) }), "in-use");
  state.guests.insert(guest(net, 3));
});

test("a transaction that throws leaves no trace, a nested one only its own", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  assert.throws(() =>
    state.transaction(() => {
      state.settings.set("outer", 1);
      throw new Error("stop");
    }),
  );
  state.transaction(() => {
    state.settings.set("kept", 1);
    assert.throws(() =>
      state.transaction(() => {
        state.settings.set("inner", 1);
        throw new Error("stop");
      }),
    );
    state.settings.set("after", 1);
  });
  assert.deepEqual([...state.settings.all().keys()], ["after", "kept"]);
  assert.throws(() => state.transaction(async () => state.settings.set("late", 1)), /must be synchronous/);
  assert.deepEqual([...state.settings.all().keys()], ["after", "kept"]);
});

test("a retired guest frees name, address and ports at once, and keeps its interfaces on record until deleted", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const net = network("default", 1);
  state.networks.insert(net);
  const old = guest(net, 2);
  state.guests.insert(old);
  state.guests.retire(old.id);
  const successor = { ...guest(net, 3), name: old.name, leases: old.leases, publishes: old.publishes };
  state.guests.insert(successor);
  const [gone] = state.load().guests;
  assert.deepEqual([gone?.desired, gone?.attachments, gone?.leases, gone?.publishes], ["absent", old.attachments, [], []]);
  state.guests.delete(old.id);
  state.guests.delete(old.id);
  assert.deepEqual(
    state.load().guests.map((g) => g.id),
    [successor.id],
  );
});

test("the last address of a removed guest is remembered under its name, the newest ones only", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const net = network("default", 1);
  state.networks.insert(net);
  const cycle = (n: number) => {
    state.guests.insert(guest(net, n));
    state.guests.delete(`id-${n}`);
  };
  cycle(2);
  assert.equal(state.guests.remembered.find(net.name, "g2/0", 4), "10.1.0.2");
  assert.equal(state.guests.remembered.find(net.name, "g2/0", 6), undefined);
  state.transaction(() => {
    for (let n = 3; n < rememberedLimit + 300; n++) cycle(n);
  });
  const all = state.guests.remembered.all();
  assert.ok(all.length <= rememberedLimit && all.length > rememberedLimit - 512, String(all.length));
  assert.equal(all.at(-1)?.owner, `g${rememberedLimit + 299}/0`);
  assert.equal(state.guests.remembered.find(net.name, "g2/0", 4), undefined);
  state.networks.delete(net.name);
  assert.deepEqual(state.guests.remembered.all(), []);
});

test("new attachments replace the old ones and their leases", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  const net = network("default", 1);
  state.networks.insert(net);
  state.guests.insert(guest(net, 2));
  const next = guest(net, 9);
  state.guests.setAttachments("id-2", next);
  state.guests.setPublishes("id-2", []);
  state.guests.setLifecycle("id-2", { ...next, state: "running", epoch: 2, startedAt: 77 });
  const [row] = state.load().guests;
  assert.deepEqual(
    [row?.attachments, row?.leases, row?.publishes, row?.state, row?.epoch, row?.startedAt],
    [next.attachments, next.leases, [], "running", 2, 77],
  );
  raises(() => state.guests.setLifecycle("id-404", next), "not-found");
});

test("networks take the smallest free index and cannot go while a guest is attached", () => {
  using directory = temporaryDirectory();
  using state = openState(directory.path);
  assert.equal(state.networks.freeIndex(), 1);
  for (const index of [1, 2, 3]) state.networks.insert(network(`net${index}`, index));
  assert.equal(state.networks.freeIndex(), 4);
  state.networks.delete("net1" as Name);
  assert.equal(state.networks.freeIndex(), 1);
  state.networks.insert(network("net1", 1));
  state.networks.delete("net2" as Name);
  assert.equal(state.networks.freeIndex(), 2);
  state.guests.insert(guest(network("net3", 3), 5));
  raises(() => state.networks.delete("net3" as Name), "in-use");
  raises(() => state.networks.insert({ ...network("other", 7), subnets: network("net3", 3).subnets }), "subnet-overlap");
  raises(() => state.networks.insert(network("net3", 8)), "name-taken");
});

test("events are a ring: bounded, in order, with ids that are never used again", () => {
  using directory = temporaryDirectory();
  const total = eventLimit + 50;
  {
    using state = openState(directory.path);
    state.transaction(() => {
      for (let n = 1; n <= total; n++) state.events.append({ at: n, kind: "test", subject: "s", message: `m${n}`, details: undefined });
    });
    assert.equal(state.events.after(0, total).length, eventLimit);
    assert.deepEqual(
      state.events.last(2).map((e) => e.id),
      [total - 1, total],
    );
    assert.deepEqual(
      state.events.after(total - 2, 1).map((e) => e.message),
      [`m${total - 1}`],
    );
  }
  using state = openState(directory.path);
  assert.equal(state.events.append({ at: 1, kind: "test", subject: "s", message: "next", details: undefined }), total + 1);
});

test("a full disk is told as ENOSPC with the file's name; what was stored stays, and work goes on when there is room", () => {
  using directory = temporaryDirectory();
  using db = new Database(join(directory.path, "nexus.db"), migrations);
  const put = db.prepare("INSERT INTO settings (key, value) VALUES (:key, :value)");
  put.run({ key: "before", value: "1" });
  const pages = Number(db.prepare("PRAGMA page_count").get()?.["page_count"]);
  db.prepare(`PRAGMA max_page_count = ${pages + 2}`).get();
  const fill = () =>
    db.transaction(() => {
      for (let n = 0; n < 100; n++) put.run({ key: `k${n}`, value: "x".repeat(1000) });
    });
  assert.throws(fill, (error) => error instanceof KernelError && error.errno === "ENOSPC" && error.message.includes(db.file));
  assert.deepEqual(
    db
      .prepare("SELECT key FROM settings")
      .all()
      .map((row) => row["key"]),
    ["before"],
  );
  db.prepare("PRAGMA max_page_count = 100000").get();
  fill();
});

function raises(work: () => unknown, code: ErrorCode): void {
  assert.throws(work, (error) => error instanceof NexusError && error.code === code);
}

/** Rows as plain objects, without the keys that hold nothing. */
function bare(row: object): object {
  return JSON.parse(JSON.stringify(row));
}
