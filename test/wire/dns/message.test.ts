import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { ipFromBytes } from "../../../src/base/ip.ts";
import type { Ipv4 } from "../../../src/base/ipv4.ts";
import type { Ipv6 } from "../../../src/base/ipv6.ts";
import { ednsRecord, isEdns, readEdns } from "../../../src/wire/dns/edns.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../src/wire/dns/message.ts";
import { nameFromText, nameToText } from "../../../src/wire/dns/name.ts";
import type { RecordData } from "../../../src/wire/dns/rdata.ts";
import { digEdns, repliedAaaa, repliedCname, repliedEdns, repliedMx, repliedPtr, repliedSrv, repliedTxt } from "./golden.ts";

const web = nameFromText("web.lan.nexus");

test("replies of dnsmasq read as what it was told to say", () => {
  const cname = decodeMessage(repliedCname);
  assert.deepEqual(cname.answers, [
    { name: nameFromText("www.lan.nexus"), class: 1, ttl: 60, data: { kind: "CNAME", target: web } },
    { name: web, class: 1, ttl: 300, data: { kind: "A", address: "10.0.42.5" } },
  ]);
  assert.deepEqual(decodeMessage(repliedAaaa).answers[0]?.data, { kind: "AAAA", address: "fd00::5" });
  assert.deepEqual(decodeMessage(repliedMx).answers[0]?.data, { kind: "MX", preference: 10, exchange: nameFromText("mail.lan.nexus") });
  assert.deepEqual(decodeMessage(repliedPtr).answers[0]?.data, { kind: "PTR", target: web });
  const srv = decodeMessage(repliedSrv);
  assert.deepEqual(srv.answers[0]?.data, { kind: "SRV", priority: 1, weight: 2, port: 8080, target: web });
  assert.deepEqual(
    srv.additionals.map((record) => nameToText(record.name)),
    ["web.lan.nexus", "web.lan.nexus"],
  );
  const txt = decodeMessage(repliedTxt).answers[0]?.data;
  assert.ok(txt?.kind === "TXT");
  assert.deepEqual(
    txt.strings.map((s) => Buffer.from(s).toString()),
    ["hello world", "second"],
  );
});

test("dig's EDNS options are read, and its cookie is kept as it came", () => {
  const opt = decodeMessage(digEdns).additionals[0];
  assert.ok(opt !== undefined && isEdns(opt));
  assert.deepEqual(readEdns(opt), {
    payloadBytes: 4096,
    extendedCode: 0,
    version: 0,
    dnssecOk: true,
    options: [{ code: 10, bytes: Uint8Array.from(Buffer.from("0011223344556677", "hex")) }],
  });
  assert.deepEqual(ednsRecord(readEdns(opt)), opt);
});

test("what dig and dnsmasq wrote without spare compression is written the same", () => {
  for (const bytes of [digEdns, repliedAaaa, repliedTxt, repliedEdns])
    assert.equal(encodeMessage(decodeMessage(bytes)).bytes.toString("hex"), bytes.toString("hex"));
});

test("names inside data of old types are expanded, so the data means the same in another message", () => {
  const bytes = Buffer.concat([
    Buffer.from("000084000000000100000000", "hex"),
    Buffer.from("\x03web\x00", "latin1"),
    Buffer.from("001500010000000000040005c00c", "hex"),
  ]);
  assert.deepEqual(decodeMessage(bytes).answers[0]?.data, {
    kind: "opaque",
    type: 21,
    bytes: Uint8Array.from(Buffer.from("\x00\x05\x03web\x00", "latin1")),
  });
});

test("data that is shorter or longer than its type is refused", () => {
  const record = (type: string, data: string) => Buffer.from(`000084000000000100000000` + `00${type}0001000000000${data}`, "hex");
  for (const [type, data] of [
    ["0001", "0030a0000"],
    ["0001", "0050a00000001"],
    ["001c", "00400000000"],
    ["0005", "0020000"],
    ["000f", "0020001"],
    ["0010", "00205aa"],
    ["0006", "003000000"],
  ] as const) {
    assert.throws(() => decodeMessage(record(type, data)), WireError, type);
  }
});

/** Plain objects, as the decoder makes them. */
const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true });
const name = fc.array(fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/), { maxLength: 5 }).map((labels) => nameFromText(labels.join(".")));
const word = fc.integer({ min: 0, max: 0xffff });
const long = fc.integer({ min: 0, max: 0xffffffff });
const bytes = (size: { minLength?: number; maxLength: number }) => fc.uint8Array(size).map((b) => Uint8Array.from(b));
const data: fc.Arbitrary<RecordData> = fc.oneof(
  bytes({ minLength: 4, maxLength: 4 }).map((b): RecordData => ({ kind: "A", address: ipFromBytes(b) as Ipv4 })),
  bytes({ minLength: 16, maxLength: 16 }).map((b): RecordData => ({ kind: "AAAA", address: ipFromBytes(b) as Ipv6 })),
  record({ kind: fc.constantFrom("CNAME", "PTR", "NS", "DNAME"), target: name }),
  record({ kind: fc.constant("MX"), preference: word, exchange: name }),
  record({ kind: fc.constant("SRV"), priority: word, weight: word, port: word, target: name }),
  record({ kind: fc.constant("SOA"), primary: name, mailbox: name, serial: long, refresh: long, retry: long, expire: long, minimum: long }),
  record({ kind: fc.constant("TXT"), strings: fc.array(bytes({ maxLength: 40 }), { maxLength: 3 }) }),
  record({ kind: fc.constant("opaque"), type: fc.constantFrom(43, 46, 52, 65, 4711), bytes: bytes({ maxLength: 60 }) }),
);
const records = fc.array(record({ name, class: word, ttl: long, data }), { maxLength: 6 });
const message: fc.Arbitrary<Message> = record<Message>({
  id: word,
  flags: word,
  questions: fc.array(record({ name, type: word, class: word }), { maxLength: 2 }),
  answers: records,
  authorities: records,
  additionals: records,
});

test("every message reads back as it was written, with its times to live where they are said to be", () => {
  fc.assert(
    fc.property(message, (m) => {
      const encoded = encodeMessage(m);
      assert.deepEqual(decodeMessage(encoded.bytes), m);
      const all = [...m.answers, ...m.authorities, ...m.additionals];
      assert.deepEqual(
        encoded.ttlOffsets.map((at) => encoded.bytes.readUInt32BE(at)),
        all.map((record) => record.ttl),
      );
    }),
  );
});

test("any bytes give a message or a WireError", () => {
  const attempt = (input: Uint8Array) => {
    try {
      for (const record of decodeMessage(input).additionals) if (isEdns(record)) readEdns(record);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), attempt), { numRuns: 2000 });
  const spoiled = record({ m: message, at: fc.nat(), to: fc.nat(255), cut: fc.nat() });
  fc.assert(
    fc.property(spoiled, ({ m, at, to, cut }) => {
      const whole = encodeMessage(m).bytes;
      whole[at % whole.length] = to;
      attempt(whole);
      attempt(whole.subarray(0, cut % whole.length));
    }),
    { numRuns: 2000 },
  );
});

test("a message that does not fit 65,535 bytes is refused", () => {
  const answers = Array.from({ length: 300 }, () => ({
    name: "",
    class: 1,
    ttl: 0,
    data: { kind: "opaque", type: 4711, bytes: new Uint8Array(250) } as RecordData,
  }));
  assert.throws(() => encodeMessage({ id: 0, flags: 0, questions: [], answers, authorities: [], additionals: [] }), WireError);
});
