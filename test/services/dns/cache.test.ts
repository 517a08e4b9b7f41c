import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../../src/base/clock.ts";
import { ReplyCache } from "../../../src/services/dns/cache.ts";
import { keepReply } from "../../../src/services/dns/keep.ts";
import type { Message } from "../../../src/wire/dns/message.ts";
import { nameFromText } from "../../../src/wire/dns/name.ts";

const still: Clock = { now: () => 0, monotonic: () => 0 };

function message(ttls: number[], authority?: { ttl: number; minimum: number }, code = 0): Message {
  const soa = {
    kind: "SOA",
    primary: "",
    mailbox: "",
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
    minimum: authority?.minimum ?? 0,
  } as const;
  return {
    id: 0,
    flags: 0x8180 | code,
    questions: [{ name: nameFromText("a.example"), type: 1, class: 1 }],
    answers: ttls.map((ttl) => ({
      name: nameFromText("a.example"),
      class: 1,
      ttl,
      data: { kind: "opaque", type: 1, bytes: new Uint8Array(4) } as const,
    })),
    authorities: authority === undefined ? [] : [{ name: "", class: 1, ttl: authority.ttl, data: soa }],
    additionals: [],
  };
}

test("a reply lives as long as its shortest answer, and no longer than a day", () => {
  assert.equal(keepReply(message([300, 60])).ttlSeconds, 60);
  assert.equal(keepReply(message([10 ** 9])).ttlSeconds, 86400);
  assert.equal(keepReply(message([0x80000000])).ttlSeconds, 0);
});

test("an empty reply lives as its SOA says, without one it is not kept, and a failure for a second", () => {
  assert.equal(keepReply(message([], { ttl: 900, minimum: 30 })).ttlSeconds, 30);
  assert.equal(keepReply(message([], { ttl: 20, minimum: 300 })).ttlSeconds, 20);
  assert.equal(keepReply(message([], undefined, 3)).ttlSeconds, 0);
  assert.equal(keepReply(message([60], { ttl: 20, minimum: 300 }, 3)).ttlSeconds, 20);
  assert.equal(keepReply(message([], undefined, 2)).ttlSeconds, 1);
});

test("the least recently used reply goes when there are too many, or too many bytes", () => {
  const { reply } = keepReply(message([60]));
  const few = new ReplyCache(still, { entries: 2, bytes: 1e6 });
  few.set("a", reply, 60);
  few.set("b", reply, 60);
  few.get("a");
  few.set("c", reply, 60);
  assert.deepEqual(
    ["a", "b", "c"].map((key) => few.get(key) !== undefined),
    [true, false, true],
  );
  const small = new ReplyCache(still, { entries: 100, bytes: 1000 });
  for (let i = 0; i < 50; i++) small.set(`key ${i}`, reply, 60);
  assert.ok(small.bytes <= 1000 && small.size < 5);
  small.clear();
  assert.deepEqual([small.bytes, small.size], [0, 0]);
});
