import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { parseIp } from "../../../src/base/ip.ts";
import { auditLine } from "../../../src/services/egress/audit.ts";
import { allOf, Outside, Scene, type SceneOptions } from "./scene.ts";
import { until } from "./until.ts";

const answers = { "a.example": ["93.184.216.34"], "b.example": ["93.184.216.35"] };
const policy = { mode: "allowlist" as const, allow: ["a.example:80", "a.example:7", "b.example:80"] };
const close = "Host: x\r\nConnection: close\r\n\r\n";

/** A server that does with each connection as it is told. */
async function server(handle: (socket: Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    handle(socket);
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  return {
    port: (listener.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

const open = (outside: { port: number }, more: Partial<SceneOptions> = {}) => Scene.open({ policy, answers, outside, ...more });

async function ask(scene: Scene, bytes: string | Buffer): Promise<string> {
  const client = await scene.connect();
  const said = allOf(client);
  client.end(bytes);
  return (await said).toString("latin1");
}

async function tunnel(scene: Scene, place = "a.example:7"): Promise<Socket> {
  const client = await scene.connect();
  client.write(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
  const [answer] = (await once(client, "data")) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1.1 200 /);
  return client;
}

test("either direction of a tunnel ends by itself", async () => {
  await using echo = await server((socket) => {
    const parts: Buffer[] = [];
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.on("end", () => socket.end(Buffer.concat([Buffer.from("all: "), ...parts])));
  });
  await using scene = await open(echo);
  const client = await tunnel(scene);
  const said = allOf(client);
  client.end("question");
  assert.equal((await said).toString(), "all: question");

  await using first = await server((socket) => socket.end("bye"));
  await using other = await open(first);
  const listener = await other.connect();
  listener.write("CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
  let text = "";
  listener.on("data", (part: Buffer) => (text += part.toString()));
  await once(listener, "end");
  assert.match(text, /bye$/);
  listener.end("late words");
  await once(listener, "close");
  await until(() => other.audit.length === 1);
  assert.deepEqual([other.audit[0]?.bytesUp, other.audit[0]?.bytesDown], [10, 3]);
});

test("bytes sent before the answer wait for it and lose nothing", async () => {
  await using outside = await Outside.open();
  const gate = Promise.withResolvers<void>();
  await using scene = await Scene.open({
    policy,
    outside: { port: outside.port("raw") },
    resolver: async () => {
      await gate.promise;
      return [parseIp("93.184.216.34") ?? assert.fail()];
    },
  });
  const early = Buffer.alloc(3_000_000, "x");
  const client = await scene.connect();
  const said = allOf(client);
  client.write("CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
  client.end(early);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(outside.received.length, 0);
  gate.resolve();
  await said;
  assert.equal(outside.received.compare(early), 0);
});

test("a large body goes through in both directions, byte by byte the same", async () => {
  await using outside = await Outside.open();
  await using scene = await open({ port: outside.port("http") });
  const body = "0123456789".repeat(300_000);
  const answer = await ask(scene, `POST http://a.example/ HTTP/1.1\r\nContent-Length: ${body.length}\r\n${close}${body}`);
  assert.match(answer, /^HTTP\/1.1 200 OK\r\n/);
  assert.ok(outside.requests[0]?.body === body);

  await using large = await server((socket) => socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\n\r\n${body}`)));
  await using other = await open(large);
  const got = await ask(other, `GET http://a.example/ HTTP/1.0\r\n\r\n`);
  assert.ok(got.endsWith(`\r\n\r\n${body}`));
  assert.equal(other.audit[0]?.bytesDown, `HTTP/1.1 200 OK\r\n\r\n${body}`.length);
});

test("responses are framed anew, and broken ones are not passed on as whole", async () => {
  const through = async (response: string, request = `GET http://a.example/ HTTP/1.1\r\n${close}`) => {
    await using origin = await server((socket) => socket.once("data", () => socket.end(Buffer.from(response, "latin1"))));
    await using scene = await open(origin);
    const answer = await ask(scene, request);
    await until(() => scene.audit.length === 1);
    return { answer, detail: scene.audit[0]?.detail };
  };
  const ended = await through("HTTP/1.1 200 OK\r\nX-A: b\r\nKeep-Alive: 5\r\n\r\nhello");
  assert.equal(ended.answer, "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  const chunked = await through(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "GET http://a.example/ HTTP/1.0\r\n\r\n",
  );
  assert.equal(chunked.answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
  const informed = await through("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
  assert.equal(informed.answer, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  const head = await through("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", `HEAD http://a.example/ HTTP/1.1\r\n${close}`);
  assert.equal(head.answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
  for (const [response, said] of [
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", /length of the body is given twice/],
    ["HTTP/1.1 200 OK\r\nX: a\n\r\n", /LF without CR/],
    ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", /left HTTP/],
    ["HTTP/1.1 100 Continue\r\n\r\n".repeat(20), /no final response/],
    ["nonsense", /without a response/],
    [`HTTP/1.1 200 OK\r\nX: ${"a".repeat(40_000)}\r\n\r\n`, /more than 32768 bytes/],
  ] as const) {
    const { answer, detail } = await through(response);
    assert.match(answer, /^HTTP\/1.1 502 Bad Gateway\r\nx-proxy-error: OTHER\r\n/);
    assert.match(detail ?? "", said);
  }
  const short = await through("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
  assert.match(short.detail ?? "", /in the response the body ended early/);
});

test("a server that answers before it has the whole body is believed, and the connection ends", async () => {
  await using origin = await server((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")),
  );
  await using scene = await open(origin);
  const client = await scene.connect();
  const said = allOf(client);
  client.write(`POST http://a.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n${"x".repeat(50_000)}`);
  const answer = (await said).toString();
  assert.match(answer, /^HTTP\/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno$/);
});

test("a redirect is passed on, not followed", async () => {
  await using origin = await server((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")),
  );
  await using scene = await open(origin);
  assert.match(
    await ask(scene, `GET http://a.example/ HTTP/1.1\r\n${close}`),
    /^HTTP\/1.1 302 Found\r\nLocation: http:\/\/169.254.169.254\//,
  );
  assert.deepEqual([scene.asked, scene.dialled], [["a.example"], ["93.184.216.34:80"]]);
});

test("a connection of a server is used again for the same place only, and not after it said more than it was asked", async () => {
  await using outside = await Outside.open();
  await using scene = await open({ port: outside.port("http") });
  const keep = (url: string) => `GET http://${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  await ask(scene, keep("a.example") + keep("a.example") + keep("b.example") + keep("a.example"));
  assert.deepEqual(scene.dialled, ["93.184.216.34:80", "93.184.216.35:80"]);
  assert.deepEqual(
    scene.audit.map(({ name, address }) => `${name} ${address}`),
    ["a.example 93.184.216.34", "a.example 93.184.216.34", "b.example 93.184.216.35", "a.example 93.184.216.34"],
  );

  const response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  await using liar = await server((socket) =>
    socket.on("data", () => socket.write(`${response}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`)),
  );
  await using other = await open(liar);
  const answer = await ask(other, keep("a.example") + keep("a.example"));
  assert.equal(answer, response + response);
  assert.equal(other.dialled.length, 2);
});

test("a proxy asked for through the proxy decides as it would by itself", async () => {
  await using outside = await Outside.open();
  await using inner = await open({ port: outside.port("http") });
  await using outer = await open({ port: inner.port });
  const client = await tunnel(outer);
  const said = allOf(client);
  client.end(`GET http://evil.example/ HTTP/1.1\r\n${close}`);
  assert.match((await said).toString(), /x-proxy-error: NOT_IN_ALLOWLIST/);
  assert.equal(inner.audit[0]?.reason, "NOT_IN_ALLOWLIST");
});

test("a stream that is no socket is served like one", async () => {
  await using outside = await Outside.open();
  await using scene = await open({ port: outside.port("http") });
  const [client, served] = duplexPair();
  scene.proxy.serve(served);
  const parts: Buffer[] = [];
  client.on("data", (part: Buffer) => parts.push(part));
  client.end(`GET http://a.example/ HTTP/1.1\r\n${close}`);
  await once(client, "end");
  assert.match(Buffer.concat(parts).toString(), /^HTTP\/1.1 200 OK\r\n[^]*ok$/);
});

test("a client or server that resets at any moment harms nobody else", async () => {
  await using rude = await server((socket) => {
    socket.once("data", () => socket.resetAndDestroy());
    socket.once("end", () => socket.end());
  });
  await using scene = await open(rude, { limits: { requestsPerSecond: 100_000 } });
  const texts = [
    "",
    "G",
    "GET http://a.example/ HTTP/1.1\r\n",
    `GET http://a.example/ HTTP/1.1\r\n${close}`,
    "\x05",
    "\x05\x01\x00",
    "CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT a.example:7 HTTP/1.1\r\nHost: x\r\n\r\nhello",
    "POST http://a.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhel",
  ];
  for (let i = 0; i < 300; i++) {
    const client = await scene.connect();
    client.write(texts[i % texts.length] ?? "");
    if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (i % 2 === 0) client.resetAndDestroy();
    else client.destroy();
  }
  await until(() => scene.proxy.figures().connections === 0 && scene.proxy.figures().open === 0);
  assert.deepEqual(scene.faults, []);
  await using outside = await Outside.open();
  await using next = await open({ port: outside.port("http") });
  assert.match(await ask(next, `GET http://a.example/ HTTP/1.1\r\n${close}`), /200 OK/);
});

test("when decisions cannot be written down nothing is allowed any more", async () => {
  await using outside = await Outside.open();
  let full = false;
  await using scene = await open(
    { port: outside.port("http") },
    {
      audit: () => {
        if (full) throw new Error("ENOSPC");
      },
    },
  );
  const get = () => ask(scene, `GET http://a.example/ HTTP/1.1\r\n${close}`);
  assert.match(await get(), /200 OK/);
  full = true;
  assert.match(await get(), /200 OK/);
  assert.match(await get(), /403 Forbidden\r\nx-proxy-error: INTERNAL_ERROR/);
  assert.equal(scene.faults.length, 2);
});

test("an audit line is one line of ASCII whatever it is about", () => {
  const record = {
    time: "t",
    run: "r",
    method: "GET",
    name: "a\n\u2028é",
    port: 1,
    address: null,
    decision: "deny",
    reason: "OTHER",
    rule: null,
    bytesUp: 0,
    bytesDown: 0,
    ms: 1,
  } as const;
  const line = auditLine(record);
  assert.match(line, /^[\x20-\x7e]+\n$/);
  assert.deepEqual(JSON.parse(line), record);
});
