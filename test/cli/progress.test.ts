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

test("what is written after it has ended stays, however often it is ended", () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const progress = makeProgress(terminal, false);
  progress.show("fetching");
  progress[Symbol.dispose]();
  const before = terminal.readableLength;
  progress[Symbol.dispose]();
  assert.equal(terminal.readableLength, before);
});
