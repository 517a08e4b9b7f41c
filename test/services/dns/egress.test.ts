import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Ip } from "../../../src/base/ip.ts";
import type { NameJudge, NameVerdict } from "../../../src/services/dns/egress.ts";
import { DnsServer } from "../../../src/services/dns/server.ts";
import type { Message, ResourceRecord } from "../../../src/wire/dns/message.ts";
import { nameFromText, nameToText } from "../../../src/wire/dns/name.ts";
import { addressesOf, ask, codeOf, dig } from "./client.ts";
import { addressReply, FakeUpstream, replyTo } from "./fake-upstream.ts";
import { freePort, guest, ip, network, prefix } from "./sample.ts";

const lan = network("lan");

async function judged(judge: NameJudge, upstream: FakeUpstream) {
  const dns = new DnsServer({ resolvConf: "/dev/null", judge });
  dns.setNetwork({ network: lan, prefixes: [prefix("10.0.42.0/24")], gateways: [], visible: [], forward: true });
  dns.setRecords(lan, [guest("web", "10.0.42.5")]);
  dns.setUpstreams(undefined, [upstream.upstream]);
  const at = { address: "127.0.0.1", port: await freePort("127.0.0.1") };
  await dns.listen({ address: ip(at.address), network: lan, port: at.port });
  return { dns, at, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

const record = (name: string, data: ResourceRecord["data"], ttl = 300): ResourceRecord => ({
  name: nameFromText(name),
  class: 1,
  ttl,
  data,
});
const a = (name: string, address: string, ttl = 300) => record(name, { kind: "A", address: ip(address) } as ResourceRecord["data"], ttl);
const alias = (name: string, target: string, ttl = 300) => record(name, { kind: "CNAME", target: nameFromText(target) }, ttl);
const answering = (...answers: ResourceRecord[]) => FakeUpstream.start((query): Message[] => [{ ...replyTo(query, 0), answers }]);

/** Pins all but the addresses given, for 50 seconds each. */
const pinning = (pinned: string[], ...not: string[]): NameVerdict => ({
  kind: "pinned",
  pin: (addresses) => {
    pinned.push(...addresses.keys());
    return new Map([...addresses.keys()].filter((one) => !not.includes(one)).map((one) => [one, 50]));
  },
});

describe("names under an egress policy", () => {
  test("that are refused are asked of nobody, of whatever type; our own are answered", async () => {
    await using up = await FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.1"), 300)]);
    const names: string[] = [];
    await using s = await judged(({ name }) => (names.push(nameToText(name)), { kind: "refused" }), up);
    for (const type of [1, 28, 16, 65, 255]) assert.ok([3, 5].includes(codeOf(await ask(s.at, "evil.example", { type }))));
    assert.deepEqual(addressesOf(await ask(s.at, "web.lan.nexus")), ["10.0.42.5"]);
    assert.equal(codeOf(await ask(s.at, "single")), 3);
    assert.deepEqual([up.queries.length, new Set(names)], [0, new Set(["evil.example"])]);
    assert.equal(s.dns.metrics().blocked, 4);
    assert.match((await dig(s.at, "evil.example", "A")).text, /EDE: 15 \(Blocked\): \(egress policy\)/);
    assert.doesNotMatch((await dig(s.at, "+noedns", "evil.example", "A")).text, /EDE/);
  });

  test("give what was pinned, and nothing that an answer says beside the question", async () => {
    await using up = await answering(
      alias("Www.Example", "edge.example", 900),
      a("edge.example", "192.0.2.1"),
      a("edge.example", "192.0.2.2"),
      a("other.example", "192.0.2.3"),
    );
    const pinned: string[] = [];
    await using s = await judged(() => pinning(pinned, "192.0.2.2"), up);
    const { answers } = await dig(s.at, "www.example", "A");
    assert.deepEqual(
      answers.map((line) => line.toLowerCase()),
      ["www.example. 50 in cname edge.example.", "edge.example. 50 in a 192.0.2.1"],
    );
    assert.deepEqual(pinned, ["192.0.2.1", "192.0.2.2"]);
  });

  test("follow aliases in any order, and loops of them to an end", async () => {
    await using up = await answering(
      a("c.example", "192.0.2.1"),
      alias("b.example", "c.example"),
      alias("a.example", "b.example"),
      alias("c.example", "a.example"),
    );
    await using s = await judged(() => pinning([]), up);
    assert.ok(addressesOf(await ask(s.at, "a.example")).includes("192.0.2.1"));
  });

  test("whose addresses are all withheld have none, and say why", async () => {
    await using up = await answering(a("www.example", "10.0.0.1"));
    await using s = await judged(() => pinning([], "10.0.0.1"), up);
    const { status, answers, text } = await dig(s.at, "www.example", "A");
    assert.deepEqual([status, answers], ["NOERROR", []]);
    assert.match(text, /EDE: 15/);
  });

  test("that could not be pinned are a failure, not an answer", async () => {
    await using up = await answering(a("www.example", "192.0.2.1"));
    await using s = await judged(() => ({ kind: "pinned", pin: () => undefined }), up);
    const reply = await ask(s.at, "www.example");
    assert.deepEqual([codeOf(reply), reply.answers], [2, []]);
  });

  test("are pinned from the cache as from the upstream, with the time that is left", async () => {
    await using up = await answering(a("www.example", "192.0.2.1", 300));
    const ttls: number[] = [];
    const judge: NameJudge = () => ({
      kind: "pinned",
      pin: (addresses: ReadonlyMap<Ip, number>) => (ttls.push(...addresses.values()), addresses),
    });
    await using s = await judged(judge, up);
    for (let i = 0; i < 3; i++) assert.deepEqual(addressesOf(await ask(s.at, "www.example")), ["192.0.2.1"]);
    assert.equal(up.queries.length, 1);
    assert.ok(ttls.length === 3 && ttls.every((ttl) => ttl > 290 && ttl <= 300));
  });

  test("are judged again when the upstream's answer is there", async () => {
    let verdict: NameVerdict = pinning([]);
    await using up = await FakeUpstream.start((query) => {
      verdict = { kind: "refused" };
      return [addressReply(query, ip("192.0.2.1"), 300)];
    });
    await using s = await judged(() => verdict, up);
    const reply = await ask(s.at, "www.example");
    assert.deepEqual([codeOf(reply), reply.answers], [3, []]);
  });

  test("have no service records, whose hints nobody pinned, and negative answers as they are", async () => {
    await using up = await FakeUpstream.start((query) => [replyTo(query, 3)]);
    await using s = await judged(() => pinning([]), up);
    for (const type of [64, 65]) assert.equal(codeOf(await ask(s.at, "www.example", { type })), 0);
    assert.equal(up.queries.length, 0);
    assert.equal(codeOf(await ask(s.at, "www.example")), 3);
  });
});
