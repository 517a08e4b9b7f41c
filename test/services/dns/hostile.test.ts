import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import type { Log } from "../../../src/base/log.ts";
import { silentLog } from "../../../src/base/log.ts";
import { frame, FrameReader } from "../../../src/services/dns/frames.ts";
import { DnsServer, type DnsServerOptions } from "../../../src/services/dns/server.ts";
import { decodeMessage } from "../../../src/wire/dns/message.ts";
import { addressesOf, ask, queryBytes, type Server, until } from "./client.ts";
import { FakeUpstream } from "./fake-upstream.ts";
import { freePort, guest, ip, network, prefix } from "./sample.ts";

const lan = network("lan");

async function serving(options: DnsServerOptions = {}): Promise<{ dns: DnsServer; at: Server } & AsyncDisposable> {
  const dns = new DnsServer({ resolvConf: "/dev/null", ...options });
  dns.setNetwork({ network: lan, prefixes: [prefix("10.0.0.0/16")], gateways: [], visible: [], forward: true });
  dns.setRecords(lan, [guest("web", "10.0.42.5")]);
  const at = { address: "127.0.0.1", port: await freePort("127.0.0.1") };
  await dns.listen({ address: ip(at.address), network: lan, port: at.port });
  return { dns, at, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

async function open(at: Server, from = "127.0.0.9"): Promise<Socket> {
  const socket = connect({ host: at.address, port: at.port, localAddress: from });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

const tcp = { connections: 100, connectionsPerClient: 4, idleMs: 300 };

test("neither silence nor a trickle of bytes keeps a connection open", async () => {
  await using s = await serving({ limits: { tcp } });
  const silent = await open(s.at);
  const slow = await open(s.at);
  const trickle = setInterval(() => slow.write(Buffer.from([0])), 50);
  const begin = performance.now();
  await Promise.all([closed(silent), closed(slow)]);
  clearInterval(trickle);
  assert.ok(performance.now() - begin < 1500);
  await until(() => s.dns.metrics().tcpConnections === 0);
});

test("a client with all its connections open keeps no other client out, nor its own UDP queries", async () => {
  await using s = await serving({ limits: { tcp: { ...tcp, idleMs: 5000 } } });
  const held = await Promise.all([1, 2, 3, 4].map(() => open(s.at)));
  const fifth = await open(s.at);
  await closed(fifth);
  assert.equal(s.dns.metrics().tcpConnections, 4);
  const other = await open(s.at, "127.0.0.8");
  assert.deepEqual(addressesOf(await askOver(other, "web")), ["10.0.42.5"]);
  assert.deepEqual(addressesOf(await ask(s.at, "web", { from: "127.0.0.9" })), ["10.0.42.5"]);
  for (const socket of [...held, other]) socket.destroy();
});

test("queries on one connection do not wait for each other, and a half-closed client still gets its reply", async () => {
  await using dead = await FakeUpstream.start(() => []);
  await using s = await serving({ limits: { inFlight: 100, inFlightPerClient: 10, staggerMs: 40, deadlineMs: 400 } });
  s.dns.setUpstreams(undefined, [dead.upstream]);
  const socket = await open(s.at);
  const replies = collect(socket);
  socket.end(Buffer.concat([frame(queryBytes("slow.example", 1, { id: 1 })), frame(queryBytes("web", 1, { id: 2 }))]));
  await closed(socket);
  assert.deepEqual(
    replies.map((reply) => [reply.id, reply.flags & 15]),
    [
      [2, 0],
      [1, 2],
    ],
  );
});

test("a query that claims more bytes than any query has ends the connection", async () => {
  await using s = await serving();
  const socket = await open(s.at);
  socket.write(Buffer.from([0xff, 0xff, 0, 0]));
  await closed(socket);
});

test("a client that never reads its replies is not buffered for without end", async () => {
  await using s = await serving({ limits: { tcp: { ...tcp, idleMs: 1000 } } });
  const socket = await open(s.at);
  const many = Buffer.concat(Array.from({ length: 1000 }, (_, i) => frame(queryBytes("web", 1, { id: i }))));
  socket.pause();
  const flood = setInterval(() => {
    if (socket.writableLength < 1e7) socket.write(many);
  }, 1);
  await closed(socket);
  clearInterval(flood);
  assert.deepEqual(addressesOf(await ask(s.at, "web")), ["10.0.42.5"]);
});

test("five seconds of spoiled packets crash nothing, and a good query among them is answered", async () => {
  const errors: string[] = [];
  const log: Log = {
    ...silentLog,
    error: (fields, message) => errors.push(`${message}: ${String(fields["error"])} ${String(fields["request"])}`),
  };
  await using up = await FakeUpstream.start((query) => [{ ...query, flags: 0x8180 }]);
  await using s = await serving({ log });
  s.dns.setUpstreams(undefined, [up.upstream]);
  const socket = createSocket("udp4");
  socket.connect(s.at.port, s.at.address);
  await once(socket, "connect");
  socket.on("error", () => {});
  const bases = [
    queryBytes("web.lan.nexus", 1),
    queryBytes("x.example", 28, { payloadBytes: 4096 }),
    queryBytes("5.42.0.10.in-addr.arpa", 12),
    Buffer.alloc(0),
  ];
  const random = generator(20260417);
  const end = performance.now() + 5000;
  let sent = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 100; i++, sent++) socket.send(spoil(bases[random() % bases.length] ?? Buffer.alloc(0), random));
    await pause(10);
    if (sent % 5000 === 0) assert.deepEqual(addressesOf(await ask(s.at, "web")), ["10.0.42.5"]);
  }
  assert.deepEqual(addressesOf(await ask(s.at, "web")), ["10.0.42.5"]);
  socket.close();
  assert.deepEqual(errors, []);
  assert.ok(s.dns.metrics().queries > 10_000, String(s.dns.metrics().queries));
});

test("no query of dnsperf is lost or wrong while 1,000 guests change", async () => {
  await using s = await serving();
  const guests = Array.from({ length: 5000 }, (_, i) => guest(`g${i}`, `10.0.${i >> 8}.${i & 255}`));
  s.dns.setRecords(lan, guests);
  const directory = mkdtempSync(join(tmpdir(), "nexus-dnsperf-"));
  try {
    const path = join(directory, "queries");
    writeFileSync(path, guests.map((g) => `${g.guest}.lan.nexus A\n`).join(""));
    let running = true;
    const perf = promisify(execFile)("dnsperf", ["-s", s.at.address, "-p", String(s.at.port), "-d", path, "-l", "3", "-Q", "8000"]).finally(
      () => (running = false),
    );
    let changes = 0;
    while (changes < 1000 && running) {
      for (let i = 0; i < 5; i++, changes++) s.dns.addGuest(lan, guest(`g${changes * 5}`, `10.0.200.${changes % 250}`));
      await pause(2);
    }
    const { stdout } = await perf;
    assert.equal(changes, 1000);
    assert.match(stdout, /Queries lost:\s+0 /);
    assert.match(stdout, /Response codes:\s+NOERROR \d+ \(100\.00%\)/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

async function askOver(socket: Socket, name: string) {
  const replies = collect(socket);
  socket.write(frame(queryBytes(name, 1)));
  await once(socket, "data", { signal: AbortSignal.timeout(2000) });
  const [reply] = replies;
  assert.ok(reply !== undefined);
  return reply;
}

/** Also of one that closed before it was asked about. `once` would reject on the reset that some of these tests are about. */
async function closed(socket: Socket): Promise<void> {
  await until(() => socket.closed);
}

function collect(socket: Socket) {
  const reader = new FrameReader(0xffff);
  const replies: ReturnType<typeof decodeMessage>[] = [];
  socket.on("data", (chunk: Buffer) => replies.push(...reader.push(chunk).map(decodeMessage)));
  return replies;
}

/** Flips, cuts, doubles or replaces bytes of a query. */
function spoil(base: Buffer, random: () => number): Buffer {
  const bytes = Buffer.from(base.length === 0 ? Buffer.from(Array.from({ length: random() % 80 }, random)) : base);
  for (let i = random() % 4; i > 0 && bytes.length > 0; i--) bytes[random() % bytes.length] = random();
  return random() % 4 === 0 ? bytes.subarray(0, random() % (bytes.length + 1)) : bytes;
}

/** Numbers that are the same in every run (Lehmer's generator). */
function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 0x7fffffff);
}
