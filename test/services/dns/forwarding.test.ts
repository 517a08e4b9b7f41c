import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../../src/base/clock.ts";
import { DnsServer, type DnsServerOptions } from "../../../src/services/dns/server.ts";
import type { Port } from "../../../src/base/port.ts";
import type { Upstream } from "../../../src/services/dns/upstream.ts";
import { ednsRecord, isEdns, readEdns } from "../../../src/wire/dns/edns.ts";
import { nameFromText } from "../../../src/wire/dns/name.ts";
import { addressesOf, ask, codeOf, dig, type Server, until } from "./client.ts";
import { addressReply, FakeUpstream, replyTo } from "./fake-upstream.ts";
import { freePort, guest, ip, network, prefix } from "./sample.ts";

const lan = network("lan");
const dmz = network("dmz");
const there = ip("192.0.2.1");
const limits = { inFlight: 4096, inFlightPerClient: 256, staggerMs: 40, deadlineMs: 600 };

async function forwarding(
  upstreams: readonly Upstream[],
  options: DnsServerOptions = {},
): Promise<{ dns: DnsServer; at: Server & { port: Port } } & AsyncDisposable> {
  const dns = new DnsServer({ resolvConf: "/dev/null", limits, ...options });
  dns.setNetwork({ network: lan, prefixes: [prefix("10.0.42.0/24")], gateways: [], visible: [], forward: true });
  dns.setRecords(lan, [guest("web", "10.0.42.5")]);
  dns.setUpstreams(undefined, upstreams);
  const at = { address: "127.0.0.1", port: await freePort("127.0.0.1") };
  await dns.listen({ address: ip(at.address), network: lan, port: at.port });
  return { dns, at, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

/** An upstream whose packets vanish, without needing a route that leads nowhere. */
const silent = () => FakeUpstream.start(() => []);

test("a name of the world comes from the upstream, with the client's own spelling and no authority of ours", async () => {
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 300)]);
  await using s = await forwarding([up.upstream]);
  const reply = await dig(s.at, "ExAmple.com", "A");
  assert.deepEqual(reply.answers, ["ExAmple.com. 300 IN A 192.0.2.1"]);
  assert.equal(reply.flags, "qr rd ra");
  const asked = up.queries[0]?.query;
  assert.equal(asked?.questions[0]?.name, nameFromText("example.com"));
  assert.ok(asked.additionals.some(isEdns));
});

test("our own names and private reverse ranges stay here; chosen upstreams may know this site's ranges", async () => {
  await using up = await FakeUpstream.start((query) => [replyTo(query, 3)]);
  await using s = await forwarding([up.upstream]);
  await ask(s.at, "nobody.lan.nexus");
  await ask(s.at, "nobody");
  await ask(s.at, "77.42.0.10.in-addr.arpa", { type: 12 });
  assert.equal(up.queries.length, 0);
  await ask(s.at, "1.1.168.192.in-addr.arpa", { type: 12 });
  assert.equal(up.queries.length, 1);
});

test("without chosen upstreams a private reverse range is answered here", async () => {
  await using s = await forwarding([]);
  assert.equal(codeOf(await ask(s.at, "1.1.168.192.in-addr.arpa", { type: 12 })), 3);
});

test("the second asking is from the cache, with less time to live, until that has passed", async () => {
  let now = 1000;
  const clock: Clock = { now: () => now, monotonic: () => now };
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 10)]);
  await using s = await forwarding([up.upstream], { clock });
  const ttls: (number | undefined)[] = [];
  for (const at of [1000, 4500, 10_999, 11_000]) {
    now = at;
    ttls.push((await ask(s.at, "example.com")).answers[0]?.ttl);
  }
  assert.deepEqual(ttls, [10, 7, 1, 10]);
  assert.equal(up.queries.length, 2);
  assert.equal(s.dns.metrics().cacheHits, 2);
});

test("that a name does not exist is remembered as long as its SOA says", async () => {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now };
  const soa = { kind: "SOA", primary: "", mailbox: "", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 5 } as const;
  await using up = await FakeUpstream.start((query) => [
    { ...replyTo(query, 3), authorities: [{ name: nameFromText("com"), class: 1, ttl: 900, data: soa }] },
  ]);
  await using s = await forwarding([up.upstream], { clock });
  for (const at of [0, 4999, 5000]) {
    now = at;
    assert.equal(codeOf(await ask(s.at, "nobody.com")), 3);
  }
  assert.equal(up.queries.length, 2);
});

test("clients with the same question at the same time share one question upstream", async () => {
  const held: (() => void)[] = [];
  const exchange: DnsServerOptions["exchange"] = (_upstream, question, done) => {
    const message = {
      id: 0,
      flags: 0x8180,
      questions: [{ name: question.name, type: 1, class: 1 }],
      answers: [],
      authorities: [],
      additionals: [],
    };
    held.push(() => done({ kind: "reply", message }));
    return { [Symbol.dispose]() {} };
  };
  await using s = await forwarding([{ address: ip("192.0.2.53"), port: 53 }], { exchange });
  const asking = Array.from({ length: 20 }, () => ask(s.at, "example.com"));
  await until(() => s.dns.metrics().waiting === 20);
  for (const reply of held) reply();
  assert.deepEqual((await Promise.all(asking)).map(codeOf), Array<number>(20).fill(0));
  assert.equal(s.dns.metrics().raced, 1);
});

test("a silent first upstream costs less than 100 ms, and the next query nothing", async () => {
  await using dead = await silent();
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 0)]);
  await using s = await forwarding([dead.upstream, up.upstream]);
  const begin = performance.now();
  assert.deepEqual(addressesOf(await ask(s.at, "a.example")), ["192.0.2.1"]);
  const first = performance.now() - begin;
  assert.ok(first >= 35 && first < 100, `${first} ms`);
  await ask(s.at, "b.example");
  assert.equal(dead.queries.length, 1);
});

test("a closed first upstream, or one that fails, is passed over at once", async () => {
  const closed = { address: ip("127.0.0.1"), port: await freePort("127.0.0.1") };
  await using failing = await FakeUpstream.start((query) => [replyTo(query, 2)]);
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 0)]);
  await using s = await forwarding([closed, failing.upstream, up.upstream], { limits: { ...limits, staggerMs: 5000, deadlineMs: 9000 } });
  assert.deepEqual(addressesOf(await ask(s.at, "a.example", { deadlineMs: 2000 })), ["192.0.2.1"]);
});

test("when no upstream answers the client hears SERVFAIL at the deadline", async () => {
  await using dead = await silent();
  await using s = await forwarding([dead.upstream]);
  const begin = performance.now();
  assert.equal(codeOf(await ask(s.at, "a.example")), 2);
  assert.ok(performance.now() - begin < 2000);
});

test("a truncated reply is fetched again over TCP", async () => {
  await using up = await FakeUpstream.start((query, over) => [
    over === "udp" ? { ...replyTo(query, 0), flags: 0x8380 } : addressReply(query, there, 60),
  ]);
  await using s = await forwarding([up.upstream]);
  assert.deepEqual(addressesOf(await ask(s.at, "big.example")), ["192.0.2.1"]);
  assert.deepEqual(
    up.queries.map((q) => q.over),
    ["udp", "tcp"],
  );
});

test("forged replies, with another id or another question, are passed over", async () => {
  await using up = await FakeUpstream.start((query) => {
    const forged = addressReply(query, ip("203.0.113.66"), 60);
    const other = { ...forged, questions: [{ name: nameFromText("other.example"), type: 1, class: 1 }] };
    return [
      { ...forged, id: query.id ^ 1 },
      other,
      Buffer.from("no message"),
      { ...forged, flags: 0x0100 },
      addressReply(query, there, 60),
    ];
  });
  await using s = await forwarding([up.upstream]);
  assert.deepEqual(addressesOf(await ask(s.at, "a.example")), ["192.0.2.1"]);
});

test("an upstream older than EDNS is asked again without it", async () => {
  await using up = await FakeUpstream.start((query) => [
    query.additionals.length > 0 ? { ...replyTo(query, 1), questions: [] } : addressReply(query, there, 60),
  ]);
  await using s = await forwarding([up.upstream]);
  assert.deepEqual(addressesOf(await ask(s.at, "a.example")), ["192.0.2.1"]);
});

test("ids and ports of questions upstream are not to be guessed", async () => {
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 0)]);
  await using s = await forwarding([up.upstream]);
  for (let i = 0; i < 12; i++) await ask(s.at, `n${i}.example`);
  const ids = up.queries.map((q) => q.query.id);
  assert.ok(new Set(ids).size > 10);
  assert.ok(ids.some((id, i) => i > 0 && Math.abs(id - (ids[i - 1] ?? 0)) > 100));
});

test("the upstream's OPT record is not passed on, and its records keep their order and data", async () => {
  const opt = ednsRecord({
    payloadBytes: 4096,
    extendedCode: 0,
    version: 0,
    dnssecOk: false,
    options: [{ code: 10, bytes: new Uint8Array(16) }],
  });
  await using up = await FakeUpstream.start((query) => [{ ...addressReply(query, there, 60), additionals: [opt] }]);
  await using s = await forwarding([up.upstream]);
  assert.equal((await ask(s.at, "a.example")).additionals.length, 0);
  const withEdns = await dig(s.at, "a.example", "A");
  assert.doesNotMatch(withEdns.text, /COOKIE/);
  assert.equal(readEdns(opt).options.length, 1);
});

test("a network may have upstreams of its own, and the cache keeps them apart", async () => {
  await using one = await FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.1"), 60)]);
  await using two = await FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.2"), 60)]);
  await using s = await forwarding([one.upstream]);
  s.dns.setNetwork({ network: dmz, prefixes: [], gateways: [], visible: [], forward: true });
  s.dns.setUpstreams(dmz, [two.upstream]);
  const at = { address: "127.0.0.2", port: s.at.port };
  await s.dns.listen({ address: ip(at.address), network: dmz, port: at.port });
  assert.deepEqual(addressesOf(await ask(s.at, "a.example")), ["192.0.2.1"]);
  assert.deepEqual(addressesOf(await ask(at, "a.example")), ["192.0.2.2"]);
  s.dns.setUpstreams(dmz, []);
  assert.deepEqual(addressesOf(await ask(at, "a.example")), ["192.0.2.1"]);
});

test("a new upstream is asked at once, whatever the cache held", async () => {
  await using one = await FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.1"), 600)]);
  await using two = await FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.2"), 600)]);
  await using s = await forwarding([one.upstream]);
  await ask(s.at, "a.example");
  s.dns.setUpstreams(undefined, [two.upstream]);
  assert.deepEqual(addressesOf(await ask(s.at, "a.example")), ["192.0.2.2"]);
});

test("our own listener among the upstreams is left out, so no query comes back to us", async () => {
  await using s = await forwarding([]);
  s.dns.setUpstreams(undefined, [{ address: ip(s.at.address), port: s.at.port }]);
  assert.deepEqual(s.dns.upstreams(lan), []);
  assert.equal(codeOf(await ask(s.at, "a.example")), 2);
  assert.equal(s.dns.metrics().queries, 1);
});

test("a query that asks for no recursion is refused outside our names", async () => {
  await using up = await FakeUpstream.start((query) => [addressReply(query, there, 600)]);
  await using s = await forwarding([up.upstream]);
  assert.equal((await dig(s.at, "+norecurse", "a.example", "A")).status, "REFUSED");
  assert.equal((await dig(s.at, "+norecurse", "web.lan.nexus", "A")).status, "NOERROR");
});

test("a forwarded reply too large for the client is truncated over UDP and whole over TCP", async () => {
  await using up = await FakeUpstream.start((query, over) => {
    if (over === "udp") return [{ ...replyTo(query, 0), flags: 0x8380 }];
    const one = addressReply(query, there, 60);
    return [{ ...one, answers: Array.from({ length: 100 }, () => one.answers[0]).filter((r) => r !== undefined) }];
  });
  await using s = await forwarding([up.upstream]);
  assert.match((await dig(s.at, "+ignore", "big.example", "A")).flags, /tc/);
  assert.equal((await dig(s.at, "big.example", "A")).answers.length, 100);
});

test("one client's waiting questions are bounded, and another is answered all the while", async () => {
  await using up = await FakeUpstream.start((query) =>
    query.questions[0]?.name === nameFromText("good.example") ? [addressReply(query, there, 0)] : [],
  );
  await using s = await forwarding([up.upstream], { limits: { ...limits, inFlightPerClient: 10, deadlineMs: 3000 } });
  const hostile = Array.from({ length: 50 }, (_, i) => ask(s.at, `h${i}.example`, { from: "127.0.0.9" }));
  await until(() => s.dns.metrics().busy === 40);
  assert.equal(s.dns.metrics().waiting, 10);
  assert.deepEqual(addressesOf(await ask(s.at, "good.example", { from: "127.0.0.8", deadlineMs: 1000 })), ["192.0.2.1"]);
  assert.ok((await Promise.all(hostile)).every((reply) => codeOf(reply) === 2));
  assert.equal(s.dns.metrics().waiting, 0);
});
