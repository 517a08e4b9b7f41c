import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WireError } from "../../src/base/errors.ts";
import { JsonLines, type JsonObject } from "../../src/guests/qmp-lines.ts";

describe("JSON lines of QEMU and its guest agent", () => {
  it("come out whole however the bytes are cut", () => {
    const objects: JsonObject[] = [{ return: {} }, { event: "STOP", data: { text: "ä\n\u0000" } }, { return: [1, "x"] }];
    const bytes = Buffer.from(objects.map((one) => `${JSON.stringify(one)}\r\n`).join(""));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 8 }), (cuts) => {
        const lines = new JsonLines();
        const ends = [...cuts.toSorted((a, b) => a - b), bytes.length];
        const got = ends.flatMap((end, i) => lines.push(bytes.subarray(i === 0 ? 0 : (ends[i - 1] ?? 0), end)));
        assert.deepEqual(got, objects);
      }),
    );
  });

  it("what stood before a delimiter is thrown away", () => {
    const lines = new JsonLines();
    const bytes = Buffer.concat([Buffer.from('{"half":'), Buffer.of(0xff), Buffer.from('{"return":7}\n')]);
    assert.deepEqual(lines.push(bytes), [{ return: 7 }]);
  });

  it("a guest can send what it likes: an object, or a WireError", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (pieces) => {
        const lines = new JsonLines(100);
        for (const piece of pieces) {
          try {
            for (const value of lines.push(piece)) assert.equal(typeof value, "object");
          } catch (error) {
            assert.ok(error instanceof WireError, String(error));
          }
        }
      }),
    );
    assert.throws(() => new JsonLines(10).push(Buffer.alloc(11, 0x20)), WireError);
    assert.throws(() => new JsonLines().push(Buffer.from("[]\n")), WireError);
  });
});
