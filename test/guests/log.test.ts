import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { lastLines, readLog } from "../../src/guests/guest-log.ts";

function logIn(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "nexus-log-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "log");
}

test("the last lines are those tail(1) would give, whatever the text", (t) => {
  const path = logIn(t);
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ maxLength: 12 }).map((line) => line.replaceAll("\n", "")),
        { maxLength: 30 },
      ),
      fc.boolean(),
      fc.integer({ min: 0, max: 35 }),
      (lines, ended, count) => {
        writeFileSync(path, lines.join("\n") + (ended && lines.length > 0 ? "\n" : ""));
        const whole = lines.join("\n") + (ended && lines.length > 0 ? "\n" : "");
        const expected = whole === "" ? [] : whole.replace(/\n$/, "").split("\n");
        assert.deepEqual(lastLines(path, count), count === 0 ? [] : expected.slice(-count));
      },
    ),
    { numRuns: 300 },
  );
});

test("following ends when its signal fires, and a log that is not there yet is waited for", async (t) => {
  const path = logIn(t);
  const stop = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const piece of readLog(path, { follow: true, signal: stop.signal })) {
      seen.push(Buffer.from(piece).toString());
      stop.abort();
    }
  })();
  appendFileSync(path, "first\n");
  await reading;
  assert.deepEqual(seen, ["first\n"]);
});

test("a guest's last words are short, though it wrote them as one long line, or as many", (t) => {
  const path = logIn(t);
  writeFileSync(path, "\u0001".repeat(1024 * 1024));
  const [line, ...more] = lastLines(path, 50);
  assert.deepEqual([line?.length, more], [1024, []]);
  writeFileSync(path, `${"é".repeat(900)}\n`.repeat(1000));
  const lines = lastLines(path, 50);
  assert.ok(lines.length > 5 && Buffer.byteLength(lines.join("")) <= 16 * 1024, `${lines.length} lines`);
  assert.equal(lines.at(-1), "é".repeat(900));
});

test("following goes on where the writer does after it renamed a full log, however often it did", async (t) => {
  const path = logIn(t);
  writeFileSync(path, "a\n");
  const stop = new AbortController();
  let seen = "";
  let put = 0;
  for await (const piece of readLog(path, { follow: true, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(10_000)]) })) {
    seen += Buffer.from(piece).toString();
    if (put++ === 0) {
      appendFileSync(path, "b\n");
      renameSync(path, `${path}.1`);
      writeFileSync(path, "c\n");
      renameSync(`${path}.1`, `${path}.2`);
      renameSync(path, `${path}.1`);
      writeFileSync(path, "d\n");
    }
    if (seen.endsWith("d\n")) stop.abort();
  }
  assert.equal(seen, "a\nb\nc\nd\n");
});
