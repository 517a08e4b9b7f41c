import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { usedBytes } from "../../src/images/workspace-unpack.ts";
import { WorkspaceDisks } from "../../src/images/workspace-disk.ts";

describe("the disk of a workspace, which a guest may have written anything on", () => {
  const owner = { uid: 12_345, gid: 12_345 };
  const disks = new WorkspaceDisks({ growthBytes: 8 << 20 });
  let directory: string;
  let source: string;
  let image: string;
  const names = (): string[] => readdirSync(source).toSorted();

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "nexus-workspace-disk-"));
    chmodSync(directory, 0o711);
    [source, image] = [join(directory, "work"), join(directory, "image")];
    for (const path of [source, join(directory, "guest"), join(directory, "run")]) mkdirSync(path);
    writeFileSync(join(source, "mine"), "hello");
    for (const path of [source, join(source, "mine")]) chownSync(path, owner.uid, owner.gid);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** A disk as a guest would leave it, with this many empty files of this size. */
  function guestMakes(files: number, bytes: number): void {
    for (let i = 0; i < files; i++) {
      const path = join(directory, "guest", `hole${i}`);
      writeFileSync(path, "");
      truncateSync(path, bytes);
    }
    execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-d", join(directory, "guest"), image, "16M"]);
  }
  const takeBack = () => disks.takeBack(image, { source, owner }, join(directory, "run"));

  it("goes out and comes back as it was", async () => {
    await disks.make(image, { source, owner });
    assert.deepEqual([statSync(image).uid, statSync(image).mode & 0o777], [0, 0o600]);
    writeFileSync(join(source, "since"), "");
    await takeBack();
    assert.deepEqual(names(), ["mine"]);
    assert.equal(readFileSync(join(source, "mine"), "utf8"), "hello");
  });

  it("holds nothing that the workspace's owner may not read", async () => {
    writeFileSync(join(source, "of-root"), "secret", { mode: 0o600 });
    await assert.rejects(disks.make(image, { source, owner }), { code: "image-missing", message: /Permission denied/ });
    assert.equal(readFileSync(image).includes("secret"), false);
  });

  it("fills no disk of the host with the holes of one file", async () => {
    guestMakes(1, 1 << 30);
    await assert.rejects(takeBack, { code: "runtime-failed", message: /holes/ });
    assert.ok((await usedBytes(join(directory, "run"))) < 32 << 20);
    assert.deepEqual(names(), ["mine"]);
  });

  it("nor with those of many", async () => {
    guestMakes(500, 8 << 20);
    await assert.rejects(takeBack, { code: "runtime-failed", message: /holes/ });
    assert.ok((await usedBytes(join(directory, "run"))) < 3 * 2 ** 30);
    assert.deepEqual(names(), ["mine"]);
  });
});
