import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { NexusError } from "../../src/base/errors.ts";
import { type RootfsCall, type RootfsSource, sandboxRootfs } from "../../src/images/sandbox-rootfs.ts";
import { ImageServer } from "./image-server.ts";
import { tarOf } from "./test-registry.ts";

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const shell = { name: "bin/sh", content: "#!", mode: 0o755, ...owner };

describe("the root file system of sandboxes", () => {
  const base = mkdtempSync(join(tmpdir(), "nexus-rootfs-"));
  let server: ImageServer;
  before(async () => {
    server = await ImageServer.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(base, { recursive: true });
  });
  let caches = 0;
  const call = (): RootfsCall & { said: string[] } => {
    const said: string[] = [];
    return { cache: join(base, `cache-${caches++}`), signal: AbortSignal.timeout(20_000), progress: (line) => said.push(line), said };
  };

  it("is unpacked from tar, gzip, zstd and xz, known by their bytes and not by their names", async () => {
    const tar = await tarOf([shell, { name: "etc/made", content: "of it", ...owner }]);
    const xz = execFileSync("xz", ["--stdout"], { input: tar });
    for (const [name, bytes] of Object.entries({ tar, gzip: gzipSync(tar), zstd: zstdCompressSync(tar), xz })) {
      const path = join(base, `archive-${name}.bin`);
      writeFileSync(path, bytes);
      const at = call();
      const directory = await sandboxRootfs({ kind: "archive", path }, at);
      assert.equal(readFileSync(join(directory ?? "", "etc/made"), "utf8"), "of it", name);
      assert.equal(directory, join(at.cache, "unpacked", `sha256-${sum(bytes)}`));
      assert.equal(await sandboxRootfs({ kind: "archive", path }, at), directory);
      assert.equal(at.said.filter((line) => line.startsWith("unpacking")).length, 1, "once is enough");
    }
  });

  it("is fetched once, however many ask, and goes on where a connection broke", async () => {
    const bytes = gzipSync(await tarOf([shell, { name: "big", content: "x".repeat(300_000), ...owner }]), { level: 0 });
    const { url, sha256 } = server.put("/root.tgz", { content: bytes, etag: '"1"', cutAfter: (n) => (n === 1 ? 100_000 : undefined) });
    const source: RootfsSource = { kind: "url", url, checksum: { algorithm: "sha256", hex: sha256 } };
    const at = call();
    const all = await Promise.all([1, 2, 3].map(() => sandboxRootfs(source, at)));
    assert.equal(new Set(all).size, 1);
    assert.deepEqual(
      server.asked.map(({ range }) => range?.replace(/[1-9]\d+/, "N")),
      [undefined, "bytes=N-"],
    );
    assert.deepEqual(readdirSync(join(at.cache, "trash")), []);
  });

  it("is refused when it is not what was named, and fetched anew then", async () => {
    const good = gzipSync(await tarOf([shell]));
    const { url } = server.put("/changed.tgz", { content: gzipSync(await tarOf([{ ...shell, content: "other" }])) });
    const source: RootfsSource = { kind: "url", url, checksum: { algorithm: "sha256", hex: sum(good) } };
    const at = call();
    await assert.rejects(sandboxRootfs(source, at), /it should have sha256/);
    assert.equal(existsSync(join(at.cache, "unpacked", `sha256-${sum(good)}`)), false);
    server.put("/changed.tgz", { content: good });
    assert.ok(existsSync(join((await sandboxRootfs(source, at)) ?? "", "bin/sh")));
  });

  it("leaves nothing of an archive that climbs out, is cut, or has no shell", async () => {
    const out = await tarOf([shell, { name: "../../out", content: "out", ...owner }]);
    const cut = gzipSync(await tarOf([shell])).subarray(0, 60);
    const bare = await tarOf([{ name: "etc/x", content: "", ...owner }]);
    for (const [name, bytes] of Object.entries({ out, cut, bare })) {
      const path = join(base, name);
      writeFileSync(path, bytes);
      const at = call();
      await assert.rejects(
        sandboxRootfs({ kind: "archive", path }, at),
        (error) => error instanceof NexusError && error.code === "image-missing",
        name,
      );
      assert.deepEqual(readdirSync(join(at.cache, "unpacked")), [], name);
    }
    assert.equal(existsSync(join(base, "out")) && existsSync(join(base, "..", "out")), false);
    await assert.rejects(sandboxRootfs({ kind: "archive", path: join(base, "nowhere") }, call()), /cannot be read/);
  });

  it("may be a directory with a shell in it, or the host's own programs", async () => {
    const path = join(base, "tree");
    mkdirSync(join(path, "usr/bin"), { recursive: true });
    await assert.rejects(sandboxRootfs({ kind: "directory", path }, call()), /no \/bin\/sh/);
    writeFileSync(join(path, "usr/bin/sh"), "", { mode: 0o755 });
    assert.equal(await sandboxRootfs({ kind: "directory", path }, call()), path);
    assert.equal(await sandboxRootfs({ kind: "host" }, call()), undefined);
  });
});

function sum(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
