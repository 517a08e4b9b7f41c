import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { test, type TestContext } from "node:test";
import { removeTree } from "../../src/guests/remove-tree.ts";

function directoryIn(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "nexus-tree-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test("removing very many files lets everything else go on", async (t) => {
  const tree = join(directoryIn(t), "guest");
  for (let d = 0; d < 20; d++) {
    mkdirSync(join(tree, String(d)), { recursive: true });
    for (let f = 0; f < 1000; f++) writeFileSync(join(tree, String(d), String(f)), "");
  }
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await removeTree(tree);
  delay.disable();
  assert.equal(existsSync(tree), false);
  assert.ok(delay.max / 1e6 < 100, `the event loop stood still for ${delay.max / 1e6} ms`);
});

test("links are removed, not followed, and what is absent is fine", async (t) => {
  const directory = directoryIn(t);
  const tree = join(directory, "guest");
  mkdirSync(tree);
  writeFileSync(join(directory, "precious"), "");
  symlinkSync(directory, join(tree, "out"));
  await removeTree(tree);
  await removeTree(tree);
  assert.equal(existsSync(join(directory, "precious")), true);
  await assert.rejects(removeTree("/tmp"), /refusing/);
  await assert.rejects(removeTree(join(directory, "precious")), /not a directory/);
});
