import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { foldName, labelStarts, nameFromText, nameToBytes, nameToText, readName } from "../../../src/wire/dns/name.ts";
import { MessageWriter } from "../../../src/wire/dns/writer.ts";

const label = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), minLength: 1, maxLength: 12 });
const name = fc.array(label, { maxLength: 12 }).map((labels) => labels.map((text) => String.fromCharCode(text.length) + text).join(""));

test("a name is its labels with their lengths, and text again", () => {
  assert.equal(nameFromText("web.lan.nexus."), "\x03web\x03lan\x05nexus");
  assert.equal(nameToText("\x03web\x03lan\x05nexus"), "web.lan.nexus");
  assert.equal(nameToText(nameFromText(".")), ".");
  assert.deepEqual(labelStarts("\x03web\x03lan"), [0, 4]);
});

test("any bytes survive the way through text", () => {
  fc.assert(fc.property(name, (n) => assert.equal(nameFromText(nameToText(n)), n)));
});

test("text that is no name is refused", () => {
  for (const text of ["a..b", ".a", "x".repeat(64), `${"abcdefg.".repeat(32)}x`, "a\\", "a\\999", "bücher"]) {
    assert.throws(() => nameFromText(text), WireError, text);
  }
});

test("names compare without regard to the case of ASCII letters alone", () => {
  assert.equal(foldName("\x03WeB\x01\xc0"), "\x03web\x01\xc0");
});

test("names written after one another share their ends, and read back as they were", () => {
  fc.assert(
    fc.property(fc.array(name, { maxLength: 20 }), (names) => {
      const out = new MessageWriter();
      for (const n of names) out.name(n);
      const bytes = out.finish();
      let at = 0;
      for (const n of names) {
        const read = readName(bytes, at);
        assert.equal(read.name, n);
        at = read.next;
      }
      assert.equal(at, bytes.length);
    }),
  );
  const out = new MessageWriter();
  out.name(nameFromText("web.lan.nexus"));
  out.name(nameFromText("db.lan.nexus"));
  assert.equal(out.finish().toString("hex"), "03776562036c616e056e6578757300" + "026462c004");
});

test("pointers that loop, lead forward or leave the message are refused", () => {
  for (const [bytes, start] of [
    [[0xc0, 0x00], 0],
    [[0x01, 0x61, 0xc0, 0x00], 0],
    [[0xc0, 0x02, 0xc0, 0x00], 2],
    [[0xc0, 0x04, 0x00, 0x00, 0x00], 0],
    [[0xc0], 0],
    [[0x05, 0x61], 0],
    [[0x41, 0x61, 0x00], 0],
    [[], 0],
  ] as const) {
    assert.throws(() => readName(Buffer.from(bytes), start), WireError, JSON.stringify(bytes));
  }
});

test("a chain of pointers cannot grow a name past 255 bytes", () => {
  const parts = [Buffer.from(nameToBytes(nameFromText("a".repeat(60))))];
  let previous = 0;
  let length = parts[0]?.length ?? 0;
  for (let i = 0; i < 10; i++) {
    const part = Buffer.concat([Buffer.from([60]), Buffer.alloc(60, 0x62), Buffer.from([0xc0 | (previous >> 8), previous & 255])]);
    previous = length;
    length += part.length;
    parts.push(part);
  }
  assert.throws(() => readName(Buffer.concat(parts), previous), /more than 255/);
});
