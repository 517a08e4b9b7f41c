import assert from "node:assert/strict";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { watchDirectory } from "../../src/guests/directory-changes.ts";
import { readLog } from "../../src/guests/guest-log.ts";

function directoryIn(t: TestContext): string {
  const directory = fs.mkdtempSync(join(tmpdir(), "nexus-changes-"));
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** As when another program has used up the kernel's watches (inotify_add_watch(2), ENOSPC). */
function withoutWatches(t: TestContext): void {
  t.mock.method(fs, "watch", () => {
    throw Object.assign(new Error("ENOSPC: System limit for number of file watchers reached"), { code: "ENOSPC" });
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

test("a change between two waits is not lost, and a signal ends a wait", async (t) => {
  const directory = directoryIn(t);
  using changes = watchDirectory(directory);
  fs.writeFileSync(join(directory, "file"), "");
  await changes.next(60_000);
  await changes.next(60_000, AbortSignal.timeout(10));
  await changes.next(60_000, AbortSignal.abort());
});

test("a directory that is not there is told, not waited for", (t) => {
  assert.throws(() => watchDirectory(join(directoryIn(t), "none")), { code: "ENOENT" });
});

test("where the kernel has no watch left, waits end by the clock and what was awaited is still seen", async (t) => {
  const directory = directoryIn(t);
  withoutWatches(t);
  using changes = watchDirectory(directory);
  const began = performance.now();
  for (let n = 0; n < 3; n++) await changes.next(60_000);
  const took = performance.now() - began;
  assert.ok(took >= 170 && took < 5000, `${took} ms`);
  const log = join(directory, "log");
  const stop = new AbortController();
  const reading = (async () => {
    let seen = "";
    for await (const piece of readLog(log, { follow: true, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(10_000)]) })) {
      seen += Buffer.from(piece).toString();
      if (seen === "late\n") stop.abort();
    }
    return seen;
  })();
  fs.writeFileSync(log, "late\n");
  assert.equal(await reading, "late\n");
});
