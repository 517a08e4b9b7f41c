import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../src/base/errors.ts";
import { unpackLayer } from "../../src/images/layer.ts";
import { digestOf, tarOf, type TestEntry } from "./test-registry.ts";

const part = fc.constantFrom("a", "b", "c", "..", ".", ".wh.a", ".wh..wh..opq", ".wh...", "etc");
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const target = fc.oneof(
  path,
  path.map((text) => `/${text}`),
  fc.constantFrom("..", "../..", "/", "../outside", "../../outside", "../../../outside/b"),
);
const entry: fc.Arbitrary<TestEntry> = fc.oneof(
  path.map((name) => ({ name, content: "x" })),
  path.map((name) => ({ name: `${name}/`, type: "directory" as const })),
  fc.tuple(path, target).map(([name, linkname]) => ({ name, type: "symlink" as const, linkname })),
  fc.tuple(path, target).map(([name, linkname]) => ({ name, type: "link" as const, linkname })),
);

test("whatever a layer holds, nothing outside the root is made, changed or removed", async () => {
  const base = mkdtempSync(join(tmpdir(), "nexus-layer-"));
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 12 }), async (entries) => {
        const around = mkdtempSync(join(base, "run-"));
        mkdirSync(join(around, "outside"));
        mkdirSync(join(around, "outside/b"));
        writeFileSync(join(around, "outside/a"), "untouched");
        const times = (): number[] => ["outside", "outside/a", "outside/b"].map((name) => lstatSync(join(around, name)).mtimeMs);
        const before = times();
        const root = join(around, "root");
        mkdirSync(root);
        const tar = await tarOf(entries);
        writeFileSync(join(around, "layer"), tar);
        try {
          await unpackLayer({ path: join(around, "layer"), compression: "none", diffId: digestOf(tar) }, root);
        } catch (error) {
          assert.ok(error instanceof NexusError, String(error));
        }
        assert.deepEqual(readdirSync(around).toSorted(), ["layer", "outside", "root"]);
        assert.deepEqual(readdirSync(join(around, "outside")), ["a", "b"]);
        assert.deepEqual(times(), before);
        rmSync(around, { recursive: true });
      }),
      { numRuns: 300 },
    );
    assert.equal(existsSync(join(base, "a")), false);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

test("a directory replaced by a link out of the root keeps the outside as it was", async (t) => {
  const around = mkdtempSync(join(tmpdir(), "nexus-layer-"));
  t.after(() => rmSync(around, { recursive: true, force: true }));
  mkdirSync(join(around, "outside/inner"), { recursive: true });
  mkdirSync(join(around, "root"));
  const before = lstatSync(join(around, "outside/inner")).mtimeMs;
  const tar = await tarOf([
    { name: "dir/inner/", type: "directory" },
    { name: "dir", type: "symlink", linkname: "../outside" },
  ]);
  writeFileSync(join(around, "layer"), tar);
  await unpackLayer({ path: join(around, "layer"), compression: "none", diffId: digestOf(tar) }, join(around, "root"));
  assert.equal(lstatSync(join(around, "outside/inner")).mtimeMs, before);
});

test("a damaged, cut or overlong archive is refused and does not hang", { timeout: 20_000 }, async (t) => {
  const base = mkdtempSync(join(tmpdir(), "nexus-layer-"));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const tar = await tarOf([{ name: "big", content: "x".repeat(500_000) }]);
  const refuse = async (bytes: Uint8Array, compression: "none" | "gzip" | "zstd", maxBytes = 1 << 30): Promise<void> => {
    writeFileSync(join(base, "layer"), bytes);
    rmSync(join(base, "root"), { recursive: true, force: true });
    mkdirSync(join(base, "root"));
    await assert.rejects(
      unpackLayer({ path: join(base, "layer"), compression, diffId: digestOf(tar) }, join(base, "root"), {
        limits: { maxBytes, maxEntries: 100 },
      }),
      NexusError,
    );
  };
  await refuse(tar.subarray(0, 300_000), "none");
  await refuse(tar, "gzip");
  await refuse(tar, "zstd");
  await refuse(Buffer.from("no archive at all".repeat(100)), "none");
  await refuse(tar, "none", 100_000);
  await refuse(new Uint8Array(0), "gzip");
});
