import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defaultLogLimits } from "../../src/guests/guest-log.ts";
import { layoutOf } from "../../src/guests/oci-layout.ts";
import { readExit, supervise } from "../../src/guests/supervisor.ts";
import { mount, unmount } from "../../src/kernel/mounts.ts";
import { until } from "./oci-bed.ts";

test("a guest goes on while its log cannot be written, and is heard again when it can", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-full-"));
  mount({ source: "none", target: directory, type: "tmpfs", data: "size=256k" });
  t.after(() => {
    unmount(directory);
    rmSync(directory, { recursive: true, force: true });
  });
  const layout = layoutOf(directory);
  const filler = join(directory, "filler");
  writeFileSync(filler, Buffer.alloc(200 * 1024));
  // Far more than the disk and the pipe hold: it ends only if its output is taken.
  const script = "head -c 1000000 /dev/zero; rm filler; : >log; i=0; while [ $i -lt 2000 ]; do echo heard; i=$((i+1)); done; exit 5";
  supervise(layout, { program: "/bin/sh" }, { args: ["-c", script], log: defaultLogLimits });
  await until("it ended", () => readExit(layout) !== undefined);
  assert.equal(readExit(layout)?.code, 5);
  assert.ok(statSync(layout.log).size < 256 * 1024);
  assert.match(readFileSync(layout.log, "utf8"), /heard\n$/);
});
