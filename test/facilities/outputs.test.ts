import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { OverflowFile, outputsOf } from "../../src/facilities/outputs.ts";

describe("output that goes on in a file", () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "nexus-outputs-"))));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("is there byte by byte up to its limit, for its owner alone, and the rest is counted", async () => {
    const path = join(directory, "stdout.log");
    await using file = new OverflowFile(path, 10);
    assert.equal(existsSync(path), false);
    for (const part of ["abc\0", "\u00ff", "defgh", "ij"]) void file.push(Buffer.from(part, "latin1"));
    assert.deepEqual(await file.end(), { path, writtenBytes: 10, lostBytes: 2 });
    assert.deepEqual(readFileSync(path), Buffer.from("abc\0\u00ffdefgh", "latin1"));
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it("makes no file when nothing comes", async () => {
    const file = new OverflowFile(join(directory, "stderr.log"), 10);
    assert.equal(await file.end(), undefined);
    assert.deepEqual(readdirSync(directory), []);
  });

  it("follows no link and replaces nothing; what could not be written is counted", async () => {
    writeFileSync(join(directory, "secret"), "kept");
    symlinkSync("secret", join(directory, "stdout.log"));
    const file = new OverflowFile(join(directory, "stdout.log"), 100);
    await assert.rejects(file.push(Buffer.from("overwritten")), { code: "EEXIST" });
    assert.equal(readFileSync(join(directory, "secret"), "utf8"), "kept");
  });

  it("is kept for the last eight runs, each in a directory of its own", async () => {
    mkdirSync(join(directory, "f"));
    for (let epoch = 1; epoch <= 11; epoch++) {
      const own = await outputsOf(join(directory, "f"), { run: `../run ${epoch}`, epoch });
      writeFileSync(join(own, "stdout.log"), String(epoch));
    }
    const kept = readdirSync(join(directory, "f/outputs")).toSorted();
    assert.deepEqual([kept.length, kept[0], kept.at(-1)], [8, "000000000004-___run_4", "000000000011-___run_11"]);
    assert.deepEqual(readdirSync(directory), ["f"]);
  });
});
