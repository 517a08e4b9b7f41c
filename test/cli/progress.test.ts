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
