import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { KernelError, NexusError } from "../../src/base/errors.ts";
import { lockDigest } from "../../src/images/digest-lock.ts";
import { ImageStore } from "../../src/images/store.ts";
import { StuckRegistry } from "./stuck-registry.ts";

const small = [[{ name: "a", content: "x" }], [{ name: "b", content: "y".repeat(50_000) }]];
const codeOf = (code: string) => (error: unknown) => error instanceof NexusError && error.code === code;

describe("images when things go wrong", () => {
  let directory: string;
  const names = (sub: string): string[] => (existsSync(join(directory, sub)) ? readdirSync(join(directory, sub)) : []);
  const nothingIsLeft = () => {
    for (const sub of ["unpacked", "blobs", "trash", "tags"]) assert.deepEqual(names(sub), [], sub);
  };

  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-accidents-"));
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  for (const [where, stall] of [
    ["before a manifest", (_n: number, path: string) => (path.includes("/manifests/") ? 0 : undefined)],
    ["within a configuration", (n: number) => (n === 2 ? 5 : undefined)],
    ["within a layer", (n: number) => (n === 4 ? 20 : undefined)],
  ] as const) {
    it(`gives a registry up that falls silent ${where}`, { timeout: 10_000 }, async () => {
      await using registry = await StuckRegistry.start({ entries: small, stall });
      const store = new ImageStore({ directory, idleMs: 100 });
      await assert.rejects(
        store.resolve(`${registry.host}/stuck:1`),
        (error) => error instanceof NexusError && error.code === "timeout" && error.message.includes("sent nothing for 0.1 s"),
      );
      assert.deepEqual(names("unpacked"), []);
    });

    it(`leaves nothing when it is called off ${where}`, { timeout: 10_000 }, async () => {
      const stop = new AbortController();
      await using registry = await StuckRegistry.start({
        entries: small,
        stall(n, path) {
          const most = stall(n, path);
          if (most !== undefined) setImmediate(() => stop.abort());
          return most;
        },
      });
      await assert.rejects(new ImageStore({ directory }).resolve(`${registry.host}/stuck:1`, undefined, stop.signal), codeOf("timeout"));
      nothingIsLeft();
    });
  }

  it("goes on with the layers that came when the network failed before", { timeout: 10_000 }, async () => {
    let stalls = true;
    await using registry = await StuckRegistry.start({ entries: small, stall: (n) => (stalls && n === 4 ? 20 : undefined) });
    const store = new ImageStore({ directory, idleMs: 100 });
    await assert.rejects(store.pull(`${registry.host}/two`), codeOf("timeout"));
    stalls = false;
    const image = await store.pull(`${registry.host}/two`);
    assert.ok(existsSync(join(image.lower, "b")));
    // Manifest, configuration, two layers; then manifest, configuration, one layer.
    assert.equal(registry.asked.length, 7);
    assert.deepEqual(names("blobs"), []);
  });

  it("fetches one image while another's registry is stuck", { timeout: 10_000 }, async () => {
    await using stuck = await StuckRegistry.start({ entries: small, stall: (n) => (n === 3 ? 20 : undefined) });
    await using quick = await StuckRegistry.start({ entries: [[{ name: "quick" }]], stall: () => undefined });
    const stop = new AbortController();
    const store = new ImageStore({ directory });
    const waiting = store.pull(`${stuck.host}/one`, undefined, stop.signal);
    waiting.catch(() => undefined);
    const image = await store.pull(`${quick.host}/two`);
    assert.ok(existsSync(join(image.lower, "quick")));
    stop.abort();
    await assert.rejects(waiting, codeOf("timeout"));
  });

  it("goes on for one caller when another that asked for the same image gives up", { timeout: 10_000 }, async () => {
    const stop = new AbortController();
    await using registry = await StuckRegistry.start({ entries: small, stall: () => void setImmediate(() => stop.abort()) });
    const store = new ImageStore({ directory });
    const first = store.pull(`${registry.host}/shared`, undefined, stop.signal);
    const second = store.pull(`${registry.host}/shared`);
    await assert.rejects(first, codeOf("timeout"));
    assert.ok(existsSync(join((await second).lower, "a")));
    assert.equal(registry.asked.length, 4);
  });

  it("sweeps what dead fetches left, and nothing that one alive works on", async () => {
    const digests = ["a", "b", "c"].map((letter) => `sha256-${letter.repeat(64)}`);
    const [dead, alive, untagged] = digests as [string, string, string];
    for (const name of [`.making-${dead}`, `.making-${alive}`, untagged, ".making-Xy12ab"])
      mkdirSync(join(directory, "unpacked", name, "root"), { recursive: true });
    for (const name of [dead, alive]) mkdirSync(join(directory, "blobs", name), { recursive: true });
    writeFileSync(join(directory, "blobs", dead, "sha256-1.part"), "half");
    writeFileSync(join(directory, "blobs", "sha256-2.part"), "half");
    mkdirSync(join(directory, "trash", "heap-1", "thing"), { recursive: true });
    using _ = await lockDigest(directory, alive, { signal: AbortSignal.timeout(1000), onWait: () => undefined });
    const gone = await new ImageStore({ directory }).sweep();
    assert.deepEqual(names("unpacked"), [`.making-${alive}`]);
    assert.deepEqual(names("blobs"), [alive]);
    assert.deepEqual(names("trash"), []);
    assert.deepEqual(
      gone.toSorted(),
      [`blobs/${dead}`, "blobs/sha256-2.part", "unpacked/.making-Xy12ab", `unpacked/.making-${dead}`, `unpacked/${untagged}`].toSorted(),
    );
  });

  it("says that the disk is full, and blames neither the image nor itself", { timeout: 10_000 }, async (t) => {
    const disk = mkdtempSync(join(tmpdir(), "nexus-full-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "nexus-full", disk], { stdio: "ignore" });
    } catch {
      return t.skip("mounting needs root");
    }
    t.after(() => {
      execFileSync("umount", [disk]);
      rmSync(disk, { recursive: true });
    });
    const entries = [[{ name: "big", content: "z".repeat(500_000) }]];
    await using registry = await StuckRegistry.start({ entries, stall: () => undefined });
    await assert.rejects(
      new ImageStore({ directory: join(disk, "images") }).pull(`${registry.host}/big`),
      (error) => error instanceof KernelError && error.errno === "ENOSPC" && /free space/.test(error.hint ?? ""),
    );
    assert.deepEqual(readdirSync(join(disk, "images", "unpacked")), []);
    assert.deepEqual(readdirSync(join(disk, "images", "blobs")), []);
  });
});
