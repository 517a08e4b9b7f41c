import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import type { Ip } from "../../../src/base/ip.ts";
import { openDatagram, queueFill, refuseSources } from "../../../src/kernel/datagram.ts";
import { FloodGuard } from "../../../src/services/dns/flood-guard.ts";
import { freePort, ip } from "./sample.ts";

type Fake = { guard: FloodGuard; fill: number; now: number; refused: readonly string[]; blocks: [string, number][] };

function guarded(): Fake {
  const fake: Fake = { guard: undefined as never, fill: 0, now: 0, refused: [], blocks: [] };
  fake.guard = new FloodGuard({
    now: () => fake.now,
    onBlock: (client, ms) => fake.blocks.push([client, ms]),
    socket: { queueFill: () => fake.fill, refuse: (clients) => (fake.refused = clients) },
  });
  return fake;
}

/** A time of packets, `counts` for each client, then the tick. */
function tick(fake: Fake, counts: Record<string, number>): void {
  for (const [client, count] of Object.entries(counts)) for (let i = 0; i < count; i++) fake.guard.saw(client);
  fake.now += 50;
  fake.guard.tick();
}

test("whoever fills the queue is refused, and let in again after a second", () => {
  const fake = guarded();
  using _ = fake.guard;
  fake.fill = 1;
  tick(fake, { hog: 3000, good: 5 });
  assert.deepEqual(fake.refused, []);
  tick(fake, { hog: 3000, good: 5 });
  assert.deepEqual(fake.refused, ["hog"]);
  fake.fill = 0;
  for (let i = 0; i < 19; i++) tick(fake, { good: 5 });
  assert.deepEqual(fake.refused, ["hog"]);
  tick(fake, {});
  assert.deepEqual(fake.refused, []);
});

test("a client that comes back flooding is refused for twice as long, one that behaved for a minute starts anew", () => {
  const fake = guarded();
  using _ = fake.guard;
  const flood = () => {
    fake.fill = 1;
    tick(fake, { hog: 3000 });
    tick(fake, { hog: 3000 });
    fake.fill = 0;
  };
  flood();
  fake.now += 1000;
  flood();
  fake.now += 2000 + 61_000;
  tick(fake, {});
  flood();
  assert.deepEqual(fake.blocks, [
    ["hog", 1000],
    ["hog", 2000],
    ["hog", 1000],
  ]);
});

test("a fast client is no flood while the queue is read in time, nor is a crowd of which none stands out", () => {
  const fake = guarded();
  using _ = fake.guard;
  for (let i = 0; i < 10; i++) tick(fake, { fast: 5000, other: 1 });
  fake.fill = 1;
  for (let i = 0; i < 10; i++) tick(fake, { a: 1000, b: 1000, c: 1000 });
  assert.deepEqual(fake.blocks, []);
});

test("the kernel drops packets from refused sources alone, and none once the list is empty", async () => {
  for (const [address, refused, passing] of [
    ["127.0.0.1", "127.0.0.9", "127.0.0.8"],
    ["::1", "::1", undefined],
  ] as const) {
    await using at = await receiver(ip(address));
    refuseSources(at.fd, at.place, [ip("10.1.2.3"), ip("fd00::1"), ip(refused)]);
    await send(refused, at.place, "refused");
    if (passing !== undefined) await send(passing, at.place, "passing");
    refuseSources(at.fd, at.place, []);
    await send(refused, at.place, "again");
    while (at.received.at(-1) !== "again") await once(at.socket, "message", { signal: AbortSignal.timeout(2000) });
    assert.deepEqual(at.received, passing === undefined ? ["again"] : ["passing", "again"]);
  }
});

test("the queue's fill goes from nothing to full as packets wait", async () => {
  const place = { address: ip("127.0.0.1"), port: await freePort("127.0.0.1") };
  using fd = openDatagram(place, 65536);
  assert.equal(queueFill(fd.number), 0);
  for (let i = 0; i < 300; i++) await send("127.0.0.1", place, "x".repeat(512));
  assert.ok(queueFill(fd.number) > 0.9, String(queueFill(fd.number)));
});

async function receiver(address: Ip) {
  const place = { address, port: await freePort(address) };
  const fd = openDatagram(place, 65536).release();
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  const received: string[] = [];
  socket.on("message", (bytes) => received.push(bytes.toString()));
  // With a descriptor the event comes within the call.
  await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
  return {
    place,
    fd,
    socket,
    received,
    async [Symbol.asyncDispose]() {
      socket.close();
    },
  };
}

async function send(from: string, to: { address: string; port: number }, text: string): Promise<void> {
  const socket = createSocket(from.includes(":") ? "udp6" : "udp4");
  socket.bind(0, from);
  await once(socket, "listening");
  await new Promise((resolve) => socket.send(text, to.port, to.address, resolve));
  socket.close();
}
