import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { plainDirectories } from "../../src/facilities/directories.ts";
import { until } from "../kernel/world/until.ts";

describe("facilities of an ordinary user's daemon", { timeout: 60_000 }, () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "nexus-plain-"))));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("are directories whose size is watched: the watch says so once more is taken than may be", async () => {
    const disks = plainDirectories({ directory, uid: 1000, gid: 1000 });
    const place = disks.placeOf("work", 1);
    await disks.make(place, 1024 * 1024);
    using watch = disks.watch(place, 1024 * 1024);
    // Neither what is sparse nor what a link leads to takes room.
    writeFileSync(join(place.workspace, "sparse"), "");
    truncateSync(join(place.workspace, "sparse"), 2 ** 40);
    symlinkSync("/usr", join(place.workspace, "link"));
    assert.ok(((await disks.used(place)) ?? 0) < 100_000);
    assert.equal(watch.full.aborted, false);
    writeFileSync(join(place.workspace, "file"), Buffer.alloc(2 * 1024 * 1024, 1));
    await until("the watch says so", () => watch.full.aborted);
    assert.match(String(watch.full.reason), /has \d+ bytes, and its limit is 1048576/);
    await disks.remove(place);
    assert.equal(existsSync(place.directory), false);
  });

  it("whose watch has ended are looked at no more", async () => {
    const disks = plainDirectories({ directory, uid: 1000, gid: 1000 });
    const place = disks.placeOf("work", 1);
    await disks.make(place, 1);
    const watch = disks.watch(place, 1024 ** 4);
    watch[Symbol.dispose]();
    assert.equal(watch.full.aborted, false);
  });
});
