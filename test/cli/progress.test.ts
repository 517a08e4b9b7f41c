import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { makeProgress } from "../../src/cli/progress.ts";

test("on a terminal that does not know its width, progress is still shown, within 80 columns", () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 0 });
  using progress = makeProgress(terminal, false);
  progress.show(`fetching ${"x".repeat(100)}`);
  const shown = String(terminal.read());
  assert.match(shown, /fetching x+$/);
  assert.equal(shown.split("\u001b[K")[1]?.length, 79);
});

test("a fetch has a bar on a terminal wide enough for it and the words", () => {
  const line = "5.0 MB of 20.0 MB (25%), 1.0 MB/s, 15 s left";
  for (const [columns, bar] of [
    [80, "━━━━━─────────────── "],
    [60, ""],
  ] as const) {
    const terminal = Object.assign(new PassThrough(), { isTTY: true, columns });
    using progress = makeProgress(terminal, false);
    progress.show(line);
    assert.equal(String(terminal.read()).slice(6), `${bar}${line}`);
  }
});

test("what is written after it has ended stays, however often it is ended", () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const progress = makeProgress(terminal, false);
  progress.show("fetching");
  progress[Symbol.dispose]();
  const before = terminal.readableLength;
  progress[Symbol.dispose]();
  assert.equal(terminal.readableLength, before);
});
