import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WireError } from "../../src/base/errors.ts";
import { encodeFrame, type Frame, FrameReader } from "../../src/wire/mux/frames.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constantFrom("open" as const, "end" as const, "reset" as const), stream: u32 }),
  fc.record({ kind: fc.constant("data" as const), stream: u32, bytes: fc.uint8Array({ maxLength: 300 }) }),
  fc.record({ kind: fc.constant("credit" as const), stream: u32, count: u32 }),
  fc.record({ kind: fc.constant("signal" as const), number: u32 }),
  fc.record({
    kind: fc.constant("resize" as const),
    columns: fc.integer({ min: 0, max: 65_535 }),
    rows: fc.integer({ min: 0, max: 65_535 }),
  }),
  fc.record({ kind: fc.constant("exit" as const), code: u32, outOfMemory: fc.boolean() }),
);

describe("frames of many streams over one", () => {
  it("are read as they were written, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(frames, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
        (sent, cuts) => {
          const bytes = Buffer.concat(sent.map(encodeFrame));
          const reader = new FrameReader();
          const got: Frame[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = cuts[i % cuts.length] ?? 1;
            got.push(...reader.take(bytes.subarray(at, at + size)));
            at += size;
          }
          const plain = (frame: Frame): unknown => ("bytes" in frame ? { ...frame, bytes: [...frame.bytes] } : { ...frame });
          assert.deepEqual(got.map(plain), sent.map(plain));
        },
      ),
    );
  });

  it("that are none give a WireError, or wait for more; never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new FrameReader().take(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError);
        }
      }),
    );
  });

  it("are refused by their length before anything of them is kept", () => {
    assert.throws(() => new FrameReader().take(Buffer.from([0, 1, 0, 1, 2, 0, 0, 0, 2])), WireError);
  });
});
