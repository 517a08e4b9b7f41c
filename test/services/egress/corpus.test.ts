import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { ipToBytes, parseIp } from "../../../src/base/ip.ts";
import type { AuditRecord } from "../../../src/services/egress/audit.ts";
import { type CorpusCase, type CorpusTransport, type Expectation, readCorpus } from "./corpus.ts";
import { allOf, Outside, Scene } from "./scene.ts";

const corpus = readCorpus();
const threats = Map.groupBy(corpus.cases, (one) => one.threat);
let outside: Outside;

before(async () => {
  outside = await Outside.open();
});
after(() => outside[Symbol.asyncDispose]());

describe("the corpus of egress", () => {
  it("has at least 300 cases and no two alike", () => {
    assert.ok(corpus.cases.length >= 300);
    assert.equal(new Set(corpus.cases.map(({ id }) => id)).size, corpus.cases.length);
    assert.equal(
      new Set(corpus.cases.map(({ id: _id, threat: _threat, expect: _expect, ...rest }) => JSON.stringify(rest))).size,
      corpus.cases.length,
    );
  });

  for (const [threat, cases] of threats) {
    for (const one of cases) {
      for (const transport of one.transports) it(`${threat}: ${one.id} (${transport})`, () => run(one, transport));
    }
  }
});

async function run(one: CorpusCase, transport: CorpusTransport): Promise<void> {
  const expectations = Array.isArray(one.expect) ? one.expect : [one.expect];
  outside.forget();
  const speaksHttp = transport === "http" || (transport === "raw" && !one.bytes?.startsWith("\x05"));
  await using scene = await Scene.open({
    policy: corpus.policies[one.policy] ?? assert.fail(`no policy ${one.policy}`),
    outside: { port: outside.port(speaksHttp ? "http" : "raw") },
    answers: { ...corpus.answers, ...one.answers },
    refusing: one.refusing ?? [],
    ownAddresses: new Set(corpus.own.map((text) => parseIp(text) ?? assert.fail(text))),
    guests: (guest) => (corpus.guests[guest] ?? []).map((text) => parseIp(text) ?? assert.fail(text)),
  });
  const client = await scene.connect();
  const said = allOf(client);
  await speak(client, one, transport);
  const answer = (await said).toString("latin1");
  scene.proxy.close();

  assert.deepEqual(scene.faults, []);
  assert.deepEqual(
    scene.asked,
    expectations.flatMap(({ dns = [] }) => dns),
  );
  assert.deepEqual(
    scene.dialled,
    expectations.flatMap(({ tried, dialled }) => tried ?? dialled ?? []),
  );
  assert.equal(scene.audit.length, expectations.length, JSON.stringify(scene.audit));
  for (const [i, expectation] of expectations.entries()) checkAudit(scene.audit[i] ?? assert.fail(), expectation, one, transport);
  if (one.reply !== undefined) assert.equal(answer, one.reply);
  else checkAnswer(answer, expectations, transport);
  if (speaksHttp) checkRequests(expectations);
  const { passed } = expectations[0] ?? {};
  if (passed !== undefined) assert.equal(outside.received.toString("hex"), passed ? one.send : "");
}

/** Says all the client has to say, and that it has said all. */
async function speak(client: Socket, one: CorpusCase, transport: CorpusTransport): Promise<void> {
  const { host = "", port = 80 } = one;
  switch (transport) {
    case "raw":
      client.end(one.bytes ?? "", "latin1");
      return;
    case "http":
      client.end(`GET http://${host}:${port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, "latin1");
      return;
    case "connect":
      client.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`, "latin1");
      break;
    case "socks5":
    case "socks5-ip":
      client.write(
        Buffer.concat([Buffer.of(5, 1, 0, 5, 1, 0), socksAddress(host, transport), Buffer.of(Number(port) >> 8, Number(port) & 255)]),
      );
      break;
  }
  if (one.send !== undefined && (await accepted(client, transport))) await sendCut(client, Buffer.from(one.send, "hex"), one.cuts ?? []);
  client.end();
}

function socksAddress(host: string, transport: "socks5" | "socks5-ip"): Buffer {
  if (transport === "socks5") return Buffer.concat([Buffer.of(3, host.length), Buffer.from(host, "latin1")]);
  const bytes = ipToBytes(parseIp(host.replace(/[[\]]/g, "")) ?? assert.fail(host));
  // The mapped form has 16 bytes too, so that the text's family decides.
  return Buffer.concat([Buffer.of(bytes.length === 4 ? 1 : 4), bytes]);
}

async function accepted(client: Socket, transport: CorpusTransport): Promise<boolean> {
  const whole = transport === "connect" ? "\r\n\r\n" : "\x05\0\x05\0\0\x01\0\0\0\0\0\0";
  for (let answer = ""; !answer.includes(whole);) {
    const [chunk] = (await Promise.race([once(client, "data"), once(client, "close")])) as [Buffer | boolean];
    if (!Buffer.isBuffer(chunk)) return false;
    answer += chunk.toString("latin1");
  }
  return true;
}

async function sendCut(client: Socket, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  for (const [i, cut] of [0, ...cuts].entries()) {
    client.write(bytes.subarray(cut, cuts[i] ?? bytes.length));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function checkAudit(record: AuditRecord, expectation: Expectation, one: CorpusCase, transport: CorpusTransport): void {
  const { verdict, reason, rule, name = null, dialled, status, detail, passed } = expectation;
  assert.deepEqual([record.decision, record.reason, record.name], [verdict, reason, name], JSON.stringify(record));
  if (rule !== undefined) assert.equal(record.rule, rule);
  if (detail !== undefined) assert.equal(record.detail, detail);
  if (name !== null && transport !== "raw") assert.equal(record.port, Number(one.port ?? 80));
  const reached = dialled === undefined || dialled === null || status !== undefined ? null : dialled.slice(0, dialled.lastIndexOf(":"));
  assert.equal(record.address, expectation.address ?? reached?.replace(/[[\]]/g, "") ?? null);
  assert.equal(record.run, "r1");
  assert.match(record.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  if (passed === true) assert.equal(record.bytesUp, (one.send ?? "").length / 2);
  if (verdict === "deny" && dialled === undefined) assert.deepEqual([record.bytesUp, record.bytesDown], [0, 0]);
  if (transport === "http" && reason !== "INVALID_DESTINATION") assert.equal(record.method, "GET");
  if (transport === "connect") assert.equal(record.method, "CONNECT");
  if (transport.startsWith("socks5")) assert.equal(record.method, "SOCKS5");
}

/** 403 with the code for each refusal, 0x02 for one of SOCKS, and nothing of the kind otherwise. */
function checkAnswer(answer: string, expectations: readonly Expectation[], transport: CorpusTransport): void {
  const first = expectations[0] ?? assert.fail();
  if (transport === "socks5" || transport === "socks5-ip") {
    const reply = first.passed === undefined ? (first.verdict === "deny" ? 2 : first.status === undefined ? 0 : undefined) : 0;
    if (reply === undefined) assert.notEqual(answer.charCodeAt(3), 0);
    else assert.equal(answer.slice(0, 4), `\x05\0\x05${String.fromCharCode(reply)}`);
    return;
  }
  const codes = [...answer.matchAll(/HTTP\/1\.1 (\d+) [^\r]*\r\n(?:x-proxy-error: (\w+)\r\n)?/g)].map(([, status, code]) =>
    `${status} ${code ?? ""}`.trim(),
  );
  const wanted = expectations
    .filter(({ silent }) => silent !== true)
    .map(({ verdict, reason, status }) => (status !== undefined ? `${status} OTHER` : verdict === "deny" ? `403 ${reason}` : "200"));
  if (first.passed === undefined)
    assert.deepEqual(
      codes.filter((code) => code !== "100"),
      wanted,
    );
  else assert.equal(codes[0], "200");
}

type Wanted = Omit<NonNullable<Expectation["upstream"]>[number], "host"> & { host?: string };
const plainGet: Wanted = { method: "GET", url: "/" };

function checkRequests(expectations: readonly Expectation[]): void {
  const wanted = expectations.flatMap(
    ({ verdict, status, upstream }) => upstream ?? (verdict === "allow" && status === undefined ? [plainGet] : []),
  );
  assert.equal(outside.requests.length, wanted.length, JSON.stringify(outside.requests));
  for (const [i, request] of outside.requests.entries()) {
    const { method, url, host, body = "", has = [], lacks = [] } = wanted[i] ?? assert.fail();
    assert.deepEqual([request.method, request.url, request.body], [method, url, body]);
    if (host !== undefined) assert.equal(request.headers.host, host);
    for (const name of has) assert.ok(name in request.headers, name);
    for (const name of lacks) assert.ok(!(name in request.headers), name);
  }
}
