import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { decodeMessage } from "../../../src/wire/dns/message.ts";
import { foldName, nameFromText } from "../../../src/wire/dns/name.ts";
import { readQuery } from "../../../src/wire/dns/query.ts";
import { bareReply, ResponseWriter } from "../../../src/wire/dns/response.ts";
import { digEdns, digPlain, repliedEdns } from "./golden.ts";

test("dig's queries are read in place", () => {
  assert.deepEqual(readQuery(digPlain), {
    id: 0x1f34,
    flags: 0x0120,
    name: nameFromText("web.lan.nexus"),
    type: 1,
    class: 1,
    questionEnd: digPlain.length,
    payloadBytes: 512,
    ednsVersion: undefined,
    dnssecOk: false,
  });
  const edns = readQuery(digEdns);
  assert.ok(typeof edns !== "string");
  assert.deepEqual([edns.payloadBytes, edns.ednsVersion, edns.dnssecOk], [4096, 0, true]);
});

test("letters are folded, and the reply gives back the client's own", () => {
  const mixed = Buffer.from(digPlain);
  mixed.write("wEb", 13, "latin1");
  const query = readQuery(mixed);
  assert.ok(typeof query !== "string");
  assert.equal(query.name, nameFromText("web.lan.nexus"));
  const writer = new ResponseWriter();
  writer.begin(mixed, query, { code: 0, flags: 0x0480 });
  writer.answer(1, 5, Uint8Array.of(10, 0, 42, 5));
  const reply = decodeMessage(writer.finish(query, 512));
  assert.equal(reply.questions[0]?.name, nameFromText("wEb.lan.nexus"));
  assert.deepEqual(reply.answers, [{ name: nameFromText("wEb.lan.nexus"), class: 1, ttl: 5, data: { kind: "A", address: "10.0.42.5" } }]);
  assert.equal(reply.flags, 0x8580);
});

test("replies are ignored, other operations not implemented, other counts of questions malformed", () => {
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(digPlain);
    bytes[at] = value;
    return readQuery(bytes);
  };
  assert.equal(readQuery(repliedEdns), "ignore");
  assert.equal(readQuery(digPlain.subarray(0, 11)), "ignore");
  assert.equal(changed(2, 0x29), "notimp");
  assert.equal(changed(5, 0), "formerr");
  assert.equal(changed(5, 2), "formerr");
  assert.equal(changed(12, 0xc0), "formerr");
  assert.equal(changed(11, 1), "formerr");
  assert.equal(readQuery(digPlain.subarray(0, digPlain.length - 1)), "formerr");
});

test("two OPT records, or one that is not additional, are malformed", () => {
  const opt = digEdns.subarray(digPlain.length);
  const twice = Buffer.concat([digEdns, opt]);
  twice[11] = 2;
  assert.equal(readQuery(twice), "formerr");
  const misplaced = Buffer.from(digEdns);
  misplaced[7] = 1;
  misplaced[11] = 0;
  assert.equal(readQuery(misplaced), "formerr");
});

test("reading in place agrees with the full decoder on every input both take", () => {
  const spoiled = fc.record({ base: fc.constantFrom(digPlain, digEdns), at: fc.nat(60), to: fc.nat(255), cut: fc.nat(80) });
  const check = (bytes: Buffer) => {
    const query = readQuery(bytes);
    if (typeof query === "string") return;
    const message = attempt(() => decodeMessage(bytes));
    if (message === undefined) return;
    assert.deepEqual(
      [message.id, message.flags, foldName(message.questions[0]?.name ?? "?"), message.questions[0]?.type],
      [query.id, query.flags, query.name, query.type],
    );
  };
  fc.assert(
    fc.property(spoiled, ({ base, at, to, cut }) => {
      const bytes = Buffer.from(base);
      bytes[at % bytes.length] = to;
      check(bytes);
      check(bytes.subarray(0, cut));
    }),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => check(Buffer.from(bytes))));
});

test("what does not fit leaves the question, TC and the OPT record", () => {
  const query = readQuery(digEdns);
  assert.ok(typeof query !== "string");
  const writer = new ResponseWriter();
  writer.begin(digEdns, query, { code: 0, flags: 0 });
  for (let i = 0; i < 40; i++) writer.answer(1, 0, Uint8Array.of(10, 0, 0, i));
  const cut = decodeMessage(writer.finish(query, 512));
  assert.equal(cut.flags & 0x0200, 0x0200);
  assert.deepEqual([cut.answers.length, cut.additionals.length], [0, 1]);
  writer.begin(digEdns, query, { code: 0, flags: 0 });
  for (let i = 0; i < 6000; i++) writer.answer(1, 0, Uint8Array.of(10, 0, 0, i));
  assert.equal(decodeMessage(writer.finish(query, 65535)).flags & 0x0200, 0x0200);
});

test("a query that cannot be read is answered with a header alone", () => {
  assert.equal(bareReply(digPlain, 1).toString("hex"), "1f3481010000000000000000");
});

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof WireError);
    return undefined;
  }
}
