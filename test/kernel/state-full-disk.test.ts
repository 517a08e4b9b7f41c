import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { KernelError } from "../../src/base/errors.ts";
import { guest, network, openState } from "../state/sample.ts";

const disk = mkdtempSync(join(tmpdir(), "nexus-disk-"));
execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "none", disk]);
after(() => {
  execFileSync("umount", [disk]);
  rmSync(disk, { recursive: true });
});

test("on a disk that is really full, a change is refused whole, and state works again when there is room", () => {
  using state = openState(join(disk, "state"));
  const net = network("default", 1);
  state.networks.insert(net);
  const ballast = join(disk, "ballast");
  try {
    writeFileSync(ballast, Buffer.alloc(12 * 2 ** 20));
  } catch {
    // It took what was left.
  }
  let n = 2;
  assert.throws(
    () => {
      for (; n < 5000; n++) state.guests.insert(guest(net, n));
    },
    (error) => error instanceof KernelError && ["ENOSPC", "EIO"].includes(error.errno) && error.message.includes(state.file),
  );
  const kept = () => state.load().guests.length;
  assert.equal(kept(), n - 2);
  unlinkSync(ballast);
  state.guests.insert(guest(net, n));
  assert.equal(kept(), n - 1);
});

test("guests can be let go on a full disk, by the room that is kept for it", () => {
  using state = openState(join(disk, "other"));
  const net = network("default", 1);
  state.networks.insert(net);
  const guests = Array.from({ length: 12 }, (_, i) => guest(net, i + 2));
  for (const each of guests) state.guests.insert(each);
  const ballast = join(disk, "ballast");
  try {
    writeFileSync(ballast, Buffer.alloc(12 * 2 ** 20));
  } catch {
    // It took what was left.
  }
  assert.throws(() => {
    for (let n = 100; n < 5000; n++) state.guests.insert(guest(net, n));
  }, KernelError);
  for (const { id } of guests) {
    state.guests.retire(id);
    state.guests.delete(id);
  }
  const left = new Set(state.load().guests.map(({ id }) => id));
  assert.ok(guests.every(({ id }) => !left.has(id)));
  unlinkSync(ballast);
});
