import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HeadAndTail, isText, wholeCharacters } from "../../src/mcp/bytes.ts";

describe("bytes for assistants", () => {
  it("are cut between characters, wherever the limit falls", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), fc.nat(), (text, at) => {
        const all = Buffer.from(text);
        const cut = wholeCharacters(all.subarray(0, at % (all.length + 1)));
        assert.ok(cut.length > (at % (all.length + 1)) - 4);
        assert.ok(text.startsWith(cut.toString("utf8")));
      }),
    );
  });

  it("that are no text are cut by no more than a broken character, and said to be none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const cut = wholeCharacters(Buffer.from(bytes));
        assert.ok(bytes.length - cut.length <= 3);
        assert.ok(Buffer.from(bytes).subarray(0, cut.length).equals(cut));
      }),
    );
    assert.deepEqual([Buffer.from("a\0b"), Buffer.from([0xff]), Buffer.from("grüße"), Buffer.alloc(0)].map(isText), [
      false,
      false,
      true,
      true,
    ]);
  });

  it("keep their beginning and end, and the count of what is missing, however they come", () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 2, max: 200 }), (chunks, limit) => {
        const kept = new HeadAndTail(limit);
        for (const chunk of chunks) kept.push(chunk);
        const all = Buffer.concat(chunks);
        const { head, tail, omitted } = kept.end();
        const half = Math.floor(limit / 2);
        assert.equal(kept.total, all.length);
        assert.ok(head.equals(all.subarray(0, half)));
        assert.ok(tail.equals(all.subarray(Math.max(Math.min(half, all.length), all.length - half))));
        assert.equal(omitted, all.length - head.length - tail.length);
      }),
    );
  });
});
