import assert from "node:assert/strict";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { systemError } from "../../src/cli/system-error.ts";
import { errorCatalogue, type NexusError } from "../../src/base/errors.ts";

const refused = (work: () => unknown, uid = 1000): NexusError => {
  try {
    work();
  } catch (error) {
    return systemError(error, { uid }) ?? assert.fail(`${String(error)} counts as a defect`);
  }
  return assert.fail("it was not refused");
};

test("what the kernel refuses is told in one line, with the path and what to do", () => {
  // Nobody may write there, not even root.
  const right = refused(() => openSync("/proc/sys/kernel/ostype", "w"));
  assert.deepEqual([right.code, right.message], ["not-permitted", "open /proc/sys/kernel/ostype: EACCES (permission denied)"]);
  assert.match(right.hint ?? "", /sudo/);
  assert.doesNotMatch(refused(() => openSync("/proc/sys/kernel/ostype", "w"), 0).hint ?? "", /sudo/);
  const full = refused(() => writeFileSync("/dev/full", "x"));
  assert.match(full.message, /ENOSPC \(no space left on device\)/);
  assert.match(full.hint ?? "", /make room/);
  assert.equal(errorCatalogue[full.code].exit, 1);
  assert.match(refused(() => readFileSync("/nonexistent/file")).message, /^open \/nonexistent\/file: ENOENT/);
});

test("an error that only a defect brings about keeps its stack", () => {
  assert.equal(systemError(new TypeError("x is undefined"), { uid: 0 }), undefined);
  assert.equal(systemError("text", { uid: 0 }), undefined);
  try {
    mkdirSync("/proc");
  } catch (error) {
    assert.equal(systemError(error, { uid: 0 }), undefined);
  }
});
