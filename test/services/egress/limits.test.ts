import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import type { EgressLimits } from "../../../src/services/egress/limits.ts";
import { Turnstile } from "../../../src/services/egress/limits.ts";
import { allOf, Outside, Scene, type SceneOptions } from "./scene.ts";
import { until } from "./until.ts";

const get = "GET http://a.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

async function limited(
  limits: Partial<EgressLimits>,
  more: Partial<SceneOptions> = {},
): Promise<{ scene: Scene; outside: Outside } & AsyncDisposable> {
  const outside = await Outside.open();
  const scene = await Scene.open({
    policy: { mode: "allowlist", allow: ["a.example:80", "a.example:7", "a.example:443"] },
    answers: { "a.example": ["93.184.216.34"] },
    outside: { port: outside.port("raw") },
    limits,
    ...more,
  });
  return {
    scene,
    outside,
    async [Symbol.asyncDispose]() {
      await scene[Symbol.asyncDispose]();
      await outside[Symbol.asyncDispose]();
    },
  };
}

async function tunnel(scene: Scene, port = 7): Promise<Socket> {
  const client = await scene.connect();
  client.write(`CONNECT a.example:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(client, "data");
  return client;
}

/** When both ends have closed; whatever is said is passed over. */
async function closed(socket: Socket): Promise<void> {
  await allOf(socket);
}

test("a head that trickles in, or never comes, ends its connection in time", async () => {
  await using s = await limited({ headMs: 150 });
  const [silent, slow, handshake, greeting] = await Promise.all([
    s.scene.connect(),
    s.scene.connect(),
    tunnel(s.scene, 443),
    s.scene.connect(),
  ]);
  slow.write("GET http://a.ex");
  const trickle = setInterval(() => slow.write("a"), 20);
  handshake.write(Buffer.of(22, 3, 1, 0, 100, 1));
  greeting.write(Buffer.of(5, 1, 0, 5, 1));
  await Promise.all([silent, slow, handshake, greeting].map(closed));
  clearInterval(trickle);
  await until(() => s.scene.audit.length === 3);
  assert.deepEqual(s.scene.audit.map(({ decision, detail }) => `${decision} ${detail}`).toSorted(), [
    "deny the connection ended before a TLS ClientHello",
    "deny the connection ended within the SOCKS request",
    "deny the head came too slowly",
  ]);
});

test("a head that is too large is refused without being read to its end", async () => {
  await using s = await limited({ headBytes: 1000, headFields: 10 });
  for (const [head, problem] of [
    [`GET http://a.example/ HTTP/1.1\r\nX: ${"a".repeat(2000)}`, "more than 1000 bytes"],
    [`GET http://a.example/${"a".repeat(2000)}`, "more than 1000 bytes"],
    [`GET http://a.example/ HTTP/1.1\r\n${"A: b\r\n".repeat(20)}`, "more than 10 fields"],
  ] as const) {
    const client = await s.scene.connect();
    const said = allOf(client);
    client.write(head);
    assert.match((await said.finally(() => client.destroy())).toString(), new RegExp(`403 Forbidden[^]*${problem}`));
  }
});

test("a tunnel ends when nothing passes for long, and stays while something does", async () => {
  await using s = await limited({ idleMs: 300 });
  const [idle, busy] = await Promise.all([tunnel(s.scene), tunnel(s.scene)]);
  const talk = setInterval(() => busy.write("x"), 30);
  await closed(idle);
  await pause(200);
  assert.equal(busy.closed, false);
  assert.deepEqual(
    s.scene.audit.map(({ decision, detail }) => `${decision} ${detail}`),
    ["allow idle for too long"],
  );
  clearInterval(talk);
  await closed(busy);
});

test("no tunnel and no request lasts longer than the whole time", async () => {
  await using s = await limited({ totalMs: 250 });
  const busy = await tunnel(s.scene);
  const talk = setInterval(() => busy.write("x"), 20);
  const request = await s.scene.connect();
  request.write(get);
  await Promise.all([closed(busy), closed(request)]);
  clearInterval(talk);
  await until(() => s.scene.audit.length === 2);
  assert.deepEqual(
    s.scene.audit.map(({ detail }) => detail),
    ["open for too long", "open for too long"],
  );
});

for (const direction of ["up", "down"] as const) {
  test(`a run that has spent its bytes ${direction} gets no more`, async () => {
    await using s = await limited(direction === "up" ? { bytesUp: 100_000 } : { bytesDown: 100_000 });
    s.outside.greeting = direction === "down" ? "x".repeat(300_000) : "";
    const client = await tunnel(s.scene);
    client.resume();
    if (direction === "up") client.write(Buffer.alloc(300_000));
    await closed(client);
    await until(() => s.scene.audit.length === 1);
    assert.equal(s.scene.audit[0]?.detail, "the run has no bytes left");
    const again = await s.scene.connect();
    const said = allOf(again);
    again.end(get);
    assert.match((await said).toString(), /x-proxy-error: OTHER[^]*no bytes left/);
    assert.equal(s.scene.asked.length, 1);
  });
}

test("a server that does not read holds its client back, and memory does not grow", async () => {
  await using s = await limited({});
  const client = await tunnel(s.scene);
  await until(() => s.outside.connections === 1);
  const mute = s.outside.mute();
  client.write(Buffer.alloc(96 << 20));
  let before = -1;
  // Until nothing moves any more.
  while (before !== s.scene.proxy.figures().bytesUp) {
    before = s.scene.proxy.figures().bytesUp;
    await pause(100);
  }
  // What the kernel's buffers on the way take is some MiB.
  assert.ok(before < 48 << 20, `${before} bytes were taken`);
  mute();
  client.destroy();
});

test("connections beyond the limit wait for a place, and are turned away when there is none", async () => {
  await using s = await limited({ connections: 2, headMs: 300 });
  const held = await Promise.all([tunnel(s.scene), tunnel(s.scene)]);
  const waiting = await s.scene.connect();
  waiting.write("CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => s.scene.proxy.figures().waiting === 1);
  held[0]?.end();
  await once(waiting, "data");
  const late = await s.scene.connect();
  await closed(late);
  assert.equal(s.scene.proxy.figures().turnedAway, 1);
  await until(() => s.scene.audit.some(({ detail }) => detail === "1 connections beyond the limit of 2"));
});

test("a storm of connections holds no more than the limit and as many that wait; the rest is closed at once", async () => {
  await using s = await limited({ connections: 4, headMs: 60_000 });
  const begun = performance.now();
  const clients: Socket[] = [];
  for (let round = 0; round < 20; round++) {
    // Some are reset before they know that they are connected.
    for (let i = 0; i < 50; i++) clients.push(connect(s.scene.port, "127.0.0.1").on("error", () => {}));
    await until(() => s.scene.proxy.figures().turnedAway === (round + 1) * 50 - 8);
    const { connections, waiting } = s.scene.proxy.figures();
    assert.deepEqual([connections, waiting], [4, 4]);
  }
  await until(() => clients.filter(({ destroyed }) => !destroyed).length === 8);
  assert.ok(performance.now() - begun < 30_000, "nobody waited for a deadline");
});

test("a thousand connections beyond the limit are one line of the audit log", async () => {
  await using s = await limited({ connections: 4, headMs: 100 });
  const clients = await Promise.all(Array.from({ length: 300 }, () => s.scene.connect()));
  await Promise.all(clients.map(closed));
  await until(() => s.scene.audit.some(({ detail }) => detail?.includes("beyond the limit") === true));
  assert.ok(s.scene.audit.length < 20, `${s.scene.audit.length} lines`);
});

test("a name that takes too long to resolve is answered for", async () => {
  await using s = await limited({ connectMs: 100 }, { resolver: () => new Promise(() => {}) });
  const client = await s.scene.connect();
  const said = allOf(client);
  client.end(get);
  assert.match((await said).toString(), /^HTTP\/1.1 504 Gateway Timeout\r\nx-proxy-error: OTHER/);
  assert.equal(s.scene.audit[0]?.detail, "no connection: ETIMEDOUT");
});

test("the turnstile lets a second's worth through at once, the others in order and in time", async () => {
  let now = 0;
  using gate = new Turnstile(10, () => now);
  const through: number[] = [];
  for (let i = 0; i < 15; i++) {
    const wait = gate.enter();
    if (wait === undefined) through.push(i);
    else void wait.then(() => through.push(i));
  }
  assert.deepEqual(through, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  now = 200;
  await until(() => through.length === 12);
  now = 1000;
  await until(() => through.length === 15);
  assert.deepEqual(through, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
});

test("one run's flood leaves another run quick", async () => {
  await using flooded = await limited({ connections: 64, requestsPerSecond: 200 });
  await using calm = await limited({});
  const flood = setInterval(() => {
    for (let i = 0; i < 20; i++) {
      const client = connect(flooded.scene.port, "127.0.0.1");
      client.on("error", () => {});
      client.end("GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50));
      client.resume();
    }
  }, 10);
  const times: number[] = [];
  for (let i = 0; i < 40; i++) {
    const begin = performance.now();
    const client = await calm.scene.connect();
    client.write("CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(client, "data");
    client.destroy();
    times.push(performance.now() - begin);
  }
  clearInterval(flood);
  const median = times.toSorted((a, b) => a - b)[20] ?? 0;
  assert.ok(median < 100, `${median} ms`);
  assert.equal(calm.scene.audit.filter(({ decision }) => decision === "deny").length, 0);
});
