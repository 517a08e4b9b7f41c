import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { qemuExitOf } from "../../src/guests/qemu-exit.ts";
import { qemuLayout } from "../../src/guests/qemu-layout.ts";

test("how a guest ended is known on a full disk too, and kept once there is room", async (t) => {
  const layout = qemuLayout(mkdtempSync(join(tmpdir(), "nexus-vm-exit-")));
  t.after(() => rmSync(layout.directory, { recursive: true }));
  writeFileSync(layout.exit, "0\n");
  symlinkSync("/dev/full", `${layout.ended}.new`);
  assert.equal((await qemuExitOf(layout))?.code, 0);
  assert.ok(!existsSync(layout.ended));
  rmSync(`${layout.ended}.new`);
  assert.equal((await qemuExitOf(layout))?.code, 0);
  assert.ok(existsSync(layout.ended));
});
