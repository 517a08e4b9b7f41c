import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "../../src/base/log.ts";
import { Chronicle } from "../../src/daemon/chronicle.ts";
import type { EventTable } from "../../src/state/events.ts";
import type { EventRow } from "../../src/state/rows.ts";

/** A table in memory that counts how often it is read. */
function sample() {
  const rows: EventRow[] = [];
  const counted = { reads: 0 };
  const table = {
    append(row: Omit<EventRow, "id">) {
      rows.push({ id: rows.length + 1, ...row });
      return rows.length;
    },
    after(id: number, limit: number) {
      counted.reads++;
      return rows.slice(id, id + limit);
    },
  } as unknown as EventTable;
  const chronicle = new Chronicle(table, { now: () => 0 }, silentLog);
  const tell = (count: number) => {
    for (let n = 0; n < count; n++) chronicle.tell({ kind: "sample", subject: "s", message: "m" });
  };
  return { chronicle, tell, counted };
}

test("a follower that falls far behind reads on from the table, and misses nothing", { timeout: 5000 }, async () => {
  const { chronicle, tell, counted } = sample();
  const stop = new AbortController();
  const events = chronicle.read({ since: 0, follow: true, signal: stop.signal });
  tell(1);
  assert.equal((await events.next()).value?.id, 1);
  const second = events.next();
  tell(1);
  assert.equal((await second).value?.id, 2);
  const before = counted.reads;
  // It reads nothing meanwhile; what waits for it must not be these.
  tell(5000);
  for (let id = 3; id <= 5002; id++) assert.equal((await events.next()).value?.id, id);
  assert.ok(counted.reads >= before + 10, "it was all kept in memory");
  const next = events.next();
  tell(1);
  assert.equal((await next).value?.id, 5003);
  const ended = events.next();
  stop.abort();
  assert.equal((await ended).done, true);
});

test("what comes while an old page is read slowly is told once, in order", { timeout: 5000 }, async () => {
  const { chronicle, tell } = sample();
  tell(1200);
  const ids: number[] = [];
  const stop = new AbortController();
  for await (const event of chronicle.read({ since: 100, follow: true, signal: stop.signal })) {
    ids.push(event.id);
    if (ids.length % 100 === 0 && ids.length <= 1500) tell(200);
    if (event.id === 1200 + 15 * 200) stop.abort();
  }
  assert.deepEqual(
    ids,
    Array.from({ length: 1100 + 15 * 200 }, (_, n) => 101 + n),
  );
});

test("without follow it ends with what there is", { timeout: 5000 }, async () => {
  const { chronicle, tell } = sample();
  tell(501);
  const ids: number[] = [];
  for await (const event of chronicle.read({ since: 0, follow: false, signal: new AbortController().signal })) ids.push(event.id);
  assert.equal(ids.length, 501);
});
