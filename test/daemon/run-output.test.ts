import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import fc from "fast-check";
import { bytesFound, readEnded, RunOutput } from "../../src/daemon/run-output.ts";

const never = new Promise<never>(() => {});
const noSignal = new AbortController().signal;

test("of any output in any pieces the beginning and the end are kept, and what lies between is counted", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 200 }),
      fc.array(fc.uint8Array({ maxLength: 150 }), { maxLength: 12 }),
      async (limitBytes, pieces) => {
        using place = temporary();
        const output = new RunOutput({ path: place.path, limitBytes, live: false });
        await output.take(Readable.from(pieces.map((piece) => Buffer.from(piece)).filter((piece) => piece.length > 0)), never);
        await output[Symbol.asyncDispose]();
        const whole = Buffer.concat(pieces);
        const half = Math.ceil(limitBytes / 2);
        const wanted = whole.length <= 2 * half ? whole : Buffer.concat([whole.subarray(0, half), whole.subarray(whole.length - half)]);
        const { bytes, dropped } = output.figures;
        assert.deepEqual({ bytes, dropped }, { bytes: whole.length, dropped: whole.length - wanted.length });
        assert.deepEqual(await buffer(readEnded(place.path, { bytes, limitBytes })), wanted);
        assert.deepEqual(await buffer(output.read({ follow: false, signal: noSignal })), wanted);
        assert.ok(place.bytes() <= 2 * half, "the disk holds no more than the limit");
        if (whole.length < 2 * half) assert.equal(await bytesFound(place.path, limitBytes), whole.length);
      },
    ),
    { numRuns: 200 },
  );
});

test("who follows sees every byte that is kept, once, and is done when the output is", async () => {
  using place = temporary();
  const output = new RunOutput({ path: place.path, limitBytes: 1 << 20, live: false });
  const source = new PassThrough();
  const taken = output.take(source, never);
  const followed = buffer(output.read({ follow: true, signal: noSignal }));
  const sent = createHash("sha256");
  for (let i = 0; i < 200; i++) {
    const piece = Buffer.alloc(1 + ((i * 7919) % 4000), i);
    sent.update(piece);
    if (!source.write(piece)) await new Promise((resolve) => source.once("drain", resolve));
  }
  source.end();
  await taken;
  await output[Symbol.asyncDispose]();
  assert.equal(
    createHash("sha256")
      .update(await followed)
      .digest("hex"),
    sent.digest("hex"),
  );
});

test("a viewer that does not read holds the command back, until the command is over", async () => {
  using place = temporary();
  await using output = new RunOutput({ path: place.path, limitBytes: 1 << 30, live: true });
  let given = 0;
  const source = Readable.from(
    (function* () {
      for (; given < 400; given++) yield Buffer.alloc(64 * 1024, given);
    })(),
    { objectMode: false, highWaterMark: 64 * 1024 },
  );
  const over = Promise.withResolvers<void>();
  const taken = output.take(source, over.promise);
  let before = -1;
  while (before !== given) {
    before = given;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(given < 20, `${given} pieces of 64 KiB were taken though nobody reads`);
  over.resolve();
  await taken;
  assert.equal(output.figures.bytes, 400 * 64 * 1024);
  const shown = await buffer(output.viewer ?? assert.fail());
  assert.equal(shown.length, 400 * 64 * 1024);
});

test("a viewer is shown as much as the limit, and the output goes on without it", async () => {
  using place = temporary();
  const output = new RunOutput({ path: place.path, limitBytes: 1000, live: true });
  await output.take(Readable.from([Buffer.alloc(700, 1), Buffer.alloc(700, 2), Buffer.alloc(700, 3)]), never);
  await output[Symbol.asyncDispose]();
  assert.deepEqual(await buffer(output.viewer ?? assert.fail()), Buffer.concat([Buffer.alloc(700, 1), Buffer.alloc(300, 2)]));
  assert.deepEqual(output.figures, { bytes: 2100, dropped: 1100 });
});

test("what cannot be kept is said, and the command is not held up by it", async () => {
  const output = new RunOutput({ path: "/proc/no-such-place/stdout", limitBytes: 1000, live: false });
  await output.take(Readable.from([Buffer.from("a"), Buffer.from("b")]), never);
  assert.match(output.problem ?? "", /ENOENT/);
  assert.deepEqual(output.figures, { bytes: 2, dropped: 0 });
});

test("its files are nobody else's to read", async () => {
  using place = temporary();
  const output = new RunOutput({ path: place.path, limitBytes: 10, live: false });
  await output.take(Readable.from([Buffer.alloc(100)]), never);
  await output[Symbol.asyncDispose]();
  assert.deepEqual(
    place.files().map((file) => statSync(file).mode & 0o777),
    [0o600, 0o600],
  );
});

function temporary() {
  const directory = mkdtempSync(join(tmpdir(), "nexus-output-"));
  const files = () => readdirSync(directory).map((name) => join(directory, name));
  return {
    path: join(directory, "stdout"),
    files,
    bytes: () => files().reduce((sum, file) => sum + statSync(file).size, 0),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

test("a viewer that takes bytes while they are still being kept is not waited for", async () => {
  using place = temporary();
  await using output = new RunOutput({ path: place.path, limitBytes: 1 << 30, live: true });
  const pieces = 300;
  const source = Readable.from(
    (function* () {
      for (let i = 0; i < pieces; i++) yield Buffer.alloc(300 * 1024, i);
    })(),
  );
  // Each piece fills the viewer, which is emptied at once.
  let shown = 0;
  const viewing = (async () => {
    for await (const bytes of output.viewer ?? []) shown += (bytes as Buffer).length;
  })();
  await output.take(source, never);
  await viewing;
  assert.equal(shown, pieces * 300 * 1024);
});
