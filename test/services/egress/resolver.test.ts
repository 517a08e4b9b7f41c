import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalName, type HostName } from "../../../src/base/host-name.ts";
import { parseIp } from "../../../src/base/ip.ts";
import type { Ipv4 } from "../../../src/base/ipv4.ts";
import type { Ipv6 } from "../../../src/base/ipv6.ts";
import { hostAddresses } from "../../../src/services/egress/own-addresses.ts";
import { addressesIn, EgressDns } from "../../../src/services/egress/resolver.ts";
import type { Exchange, UpstreamQuestion } from "../../../src/services/dns/exchange.ts";
import type { Message, ResourceRecord } from "../../../src/wire/dns/message.ts";
import { nameFromText, nameToText } from "../../../src/wire/dns/name.ts";
import type { RecordData } from "../../../src/wire/dns/rdata.ts";

const name = canonicalName("api.example.com") as HostName;
const asked = { run: "r1", signal: new AbortController().signal };
const a = (address: string): RecordData => ({ kind: "A", address: address as Ipv4 });
const aaaa = (address: string): RecordData => ({ kind: "AAAA", address: address as Ipv6 });
const alias = (target: string): RecordData => ({ kind: "CNAME", target: nameFromText(target) });
const record = (owner: string, data: RecordData): ResourceRecord => ({ name: nameFromText(owner), class: 1, ttl: 60, data });
const reply = (answers: ResourceRecord[], code = 0): Message => ({
  id: 0,
  flags: 0x8180 | code,
  questions: [],
  answers,
  authorities: [],
  additionals: [],
});

/** An upstream that answers by type, and what it was asked. */
function upstream(answer: (question: UpstreamQuestion) => Message | undefined): { exchange: Exchange; asked: string[] } {
  const questions: string[] = [];
  const exchange: Exchange = (_upstream, question, done) => {
    questions.push(`${nameToText(question.name)} ${question.type}`);
    const message = answer(question);
    setImmediate(() => done(message === undefined ? { kind: "failed", reason: "closed" } : { kind: "reply", message }));
    return { [Symbol.dispose]() {} };
  };
  return { exchange, asked: questions };
}

test("a name is asked for once by each type, and its answers are kept", async () => {
  const { exchange, asked: questions } = upstream(({ type }) =>
    reply(type === 1 ? [record("api.example.com", a("93.184.216.34"))] : [record("api.example.com", aaaa("2606:2800::1"))]),
  );
  using dns = new EgressDns({ resolvConf: "/dev/null", exchange });
  assert.deepEqual(await dns.resolve(name, asked), ["93.184.216.34", "2606:2800::1"]);
  assert.deepEqual(await dns.resolve(name, asked), ["93.184.216.34", "2606:2800::1"]);
  assert.deepEqual(questions.toSorted(), ["api.example.com 1", "api.example.com 28"]);
});

test("a name without addresses has none, and one nobody knows of is an error", async () => {
  using none = new EgressDns({ resolvConf: "/dev/null", exchange: upstream(() => reply([], 3)).exchange });
  assert.deepEqual(await none.resolve(name, asked), []);
  using half = new EgressDns({
    resolvConf: "/dev/null",
    exchange: upstream(({ type }) => (type === 1 ? reply([record("api.example.com", a("93.184.216.34"))]) : reply([], 2))).exchange,
  });
  assert.deepEqual(await half.resolve(name, asked), ["93.184.216.34"]);
  using failing = new EgressDns({ resolvConf: "/dev/null", exchange: upstream(() => undefined).exchange });
  await assert.rejects(failing.resolve(name, asked), { code: "timeout" });
});

test("only what belongs to the name, itself or by aliases, is an answer", () => {
  const wire = nameFromText("api.example.com");
  assert.deepEqual(addressesIn(reply([record("evil.test", a("6.6.6.6")), record("API.example.com", a("93.184.216.34"))]), wire), [
    "93.184.216.34",
  ]);
  assert.deepEqual(
    addressesIn(
      reply([
        record("b.cdn.test", a("93.184.216.40")),
        record("a.cdn.test", alias("b.cdn.test")),
        record("api.example.com", alias("A.cdn.test")),
      ]),
      wire,
    ),
    ["93.184.216.40"],
  );
  assert.deepEqual(addressesIn(reply([record("api.example.com", alias("api.example.com"))]), wire), []);
  assert.equal(addressesIn(reply([], 5), wire), undefined);
});

test("the host's own addresses are known", () => {
  const own = hostAddresses();
  assert.ok(own.has(parseIp("127.0.0.1") ?? assert.fail()));
  assert.ok(!own.has(parseIp("93.184.216.34") ?? assert.fail()));
});
