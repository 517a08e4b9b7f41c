import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, beforeEach, describe, it } from "node:test";
import { KernelError, NexusError } from "../../src/base/errors.ts";
import { VmImageStore, type VmImageStoreOptions } from "../../src/images/vm-store.ts";
import { qcow2Bytes } from "./disk-samples.ts";
import { eventually, ImageServer, type ServedFile } from "./image-server.ts";

const fails = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof NexusError && error.code === code && words.test(`${error.message} (${error.hint})`);
const etag = '"one"';
const lastModified = "Fri, 20 Nov 2026 10:00:00 GMT";

/** Where the range that was asked for begins. */
function startOf(asked: { range: string | undefined } | undefined): number {
  return Number(/^bytes=(\d+)-$/.exec(asked?.range ?? "")?.[1] ?? 0);
}

describe("fetching a virtual machine image when the network is bad", () => {
  let disk: Buffer;
  let directory: string;
  const store = (more: Partial<VmImageStoreOptions> = {}) => new VmImageStore({ directory, idleMs: 20_000, retryMs: 1, ...more });
  const partials = (): string[] => (existsSync(join(directory, "partial")) ? readdirSync(join(directory, "partial")) : []);
  const resolvesTo = async (reference: string, lines: string[] = []): Promise<void> => {
    const image = await store().resolve(reference, (line) => lines.push(line));
    assert.ok(readFileSync(image.disk?.path ?? "").equals(disk));
    assert.deepEqual(partials(), []);
  };

  before(() => {
    disk = qcow2Bytes();
  });
  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-vm-fetch-"));
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  for (const [name, validator] of [
    ["an entity tag", { etag }],
    ["a date", { lastModified }],
  ] as const) {
    it(`takes a broken connection up again by ${name}`, async () => {
      await using server = await ImageServer.start();
      const { reference } = server.put("/disk", { content: disk, ...validator, cutAfter: (n) => (n < 3 ? 200_000 : undefined) });
      const lines: string[] = [];
      await resolvesTo(reference, lines);
      assert.equal(server.asked.length, 3);
      const [first = -1, second = -1, third = -1] = server.asked.map(startOf);
      assert.ok(first === 0 && second > 0 && third > second, `${first} ${second} ${third}`);
      assert.match(lines.join("\n"), /connection to .* broke.*; going on after 0\.\d MB/);
    });
  }

  it("goes on in another process from what came before", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, cutAfter: (n) => (n === 1 ? 300_000 : n < 5 ? 0 : undefined) });
    await assert.rejects(store().resolve(reference), fails("image-missing", /broke.*0\.\d MB are kept.*goes on from there/s));
    assert.equal(partials().length, 1);
    assert.deepEqual(await store().sweep(), []);
    const lines: string[] = [];
    await resolvesTo(reference, lines);
    assert.ok(startOf(server.asked.at(-1)) > 0);
    assert.match(lines.join("\n"), /going on after 0\.\d MB of an earlier fetch/);
  });

  it("begins anew when the server has another file now, has no ranges, or has nothing to tell it by", async () => {
    await using server = await ImageServer.start();
    const cut = (n: number) => (n === 1 ? 100_000 : undefined);
    const cases: [string, ServedFile, ServedFile][] = [
      ["/changed", { content: Buffer.alloc(disk.length), etag, cutAfter: () => 100_000 }, { content: disk, etag: '"two"' }],
      ["/no-range", { content: disk, etag, noRange: true, cutAfter: cut }, { content: disk, etag, noRange: true }],
      ["/nothing", { content: disk, cutAfter: cut }, { content: disk }],
      ["/weak", { content: disk, etag: 'W/"one"', cutAfter: cut }, { content: disk, etag: 'W/"one"' }],
    ];
    for (const [path, first, then] of cases) {
      const { reference } = server.put(path, then);
      server.put(path, first);
      const lines: string[] = [];
      const image = await store({ directory: join(directory, path) }).resolve(reference, (line) => {
        lines.push(line);
        if (line.includes("going on")) server.put(path, then);
      });
      assert.ok(readFileSync(image.disk?.path ?? "").equals(disk), path);
      assert.equal(server.countOf(path), 2, path);
    }
  });

  it("begins anew when what is here is longer than what the server has, and ends when it is all of it", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, cutAfter: () => 0 });
    await assert.rejects(store().resolve(reference), fails("image-missing", /broke/));
    server.put("/disk", { content: disk, etag, cutAfter: () => 5000 });
    const stop = new AbortController();
    await assert.rejects(
      store({ retryMs: 60_000 }).resolve(reference, (line) => line.includes("going on") && stop.abort(), stop.signal),
      fails("timeout", /called off/),
    );
    const data = join(directory, "partial", partials()[0] ?? "", "data");
    writeFileSync(data, disk);
    server.put("/disk", { content: disk, etag });
    await resolvesTo(reference);
    assert.equal(server.asked.at(-1)?.range, `bytes=${disk.length}-`);
  });

  it("refuses what has another checksum, says both, and keeps nothing of it", async () => {
    await using server = await ImageServer.start();
    const { url, sha256 } = server.put("/disk", { content: disk, etag });
    const wanted = "0".repeat(64);
    await assert.rejects(
      store().resolve(`${url}#sha256:${wanted}`),
      fails("image-missing", new RegExp(`has sha256:${sha256}.*sha256:${wanted}.*removed`)),
    );
    assert.deepEqual(partials(), []);
    assert.deepEqual(store().list(), []);
  });

  it("notices that what is on its own disk was changed", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, cutAfter: (n) => (n === 1 ? 1000 : n < 5 ? 0 : undefined) });
    await assert.rejects(store().resolve(reference));
    writeFileSync(join(directory, "partial", partials()[0] ?? "", "data"), Buffer.alloc(1000, 1));
    await assert.rejects(store().resolve(reference), fails("image-missing", /should have/));
    await resolvesTo(reference);
  });

  it("shares one fetch among many callers, each with its own progress and end", async () => {
    await using server = await ImageServer.start();
    const gate = Promise.withResolvers<void>();
    const { reference, url } = server.put("/disk", { content: disk, etag, gate: gate.promise });
    const one = store();
    const stops = Array.from({ length: 5 }, () => new AbortController());
    const lines = stops.map((): string[] => []);
    const calls = stops.map((stop, i) => one.resolve(reference, (line) => lines[i]?.push(line), stop.signal));
    await eventually(() => server.asked.length === 1);
    stops[0]?.abort();
    await assert.rejects(calls[0] ?? Promise.resolve(), fails("timeout", new RegExp(`image ${url}: .*called off`)));
    gate.resolve();
    const images = await Promise.all(calls.slice(1));
    assert.equal(new Set(images.map((image) => image.disk?.path)).size, 1);
    assert.equal(server.asked.length, 1);
  });

  it("ends the fetch with its last caller, and goes on from there when it is wanted again", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, silentAfter: (n) => (n === 1 ? 50_000 : undefined) });
    const stop = new AbortController();
    const call = store().resolve(reference, undefined, stop.signal);
    const data = (): string => join(directory, "partial", partials()[0] ?? "none", "data");
    await eventually(() => existsSync(data()) && readFileSync(data()).length === 50_000);
    stop.abort();
    await assert.rejects(call, fails("timeout", /called off/));
    await resolvesTo(reference);
    assert.equal(server.asked.at(-1)?.range, "bytes=50000-");
  });

  it("goes on where a process was killed", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, silentAfter: (n) => (n === 1 ? 70_000 : undefined) });
    const program = `import { VmImageStore } from ${JSON.stringify(join(import.meta.dirname, "../../src/images/vm-store.ts"))};
      await new VmImageStore({ directory: ${JSON.stringify(directory)} }).resolve(${JSON.stringify(reference)});`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "inherit" });
    try {
      const data = (): string => join(directory, "partial", partials()[0] ?? "none", "data");
      await eventually(() => existsSync(data()) && statSync(data()).size === 70_000);
    } finally {
      child.kill("SIGKILL");
      await once(child, "close");
    }
    await resolvesTo(reference);
    assert.equal(startOf(server.asked.at(-1)), 70_000);
  });

  it("waits while another process fetches the same, and takes what that one got", async () => {
    await using server = await ImageServer.start();
    const gate = Promise.withResolvers<void>();
    const { reference } = server.put("/disk", { content: disk, gate: gate.promise });
    const first = store().resolve(reference);
    await eventually(() => server.asked.length === 1);
    // Another store is to this one as another process is.
    await resolvesTo(reference, Object.assign([], { push: (line: string) => line.includes("another fetch") && gate.resolve() }));
    assert.ok((await first).disk !== undefined);
    assert.equal(server.asked.length, 1);
  });

  it("gives a silent server up, in the end", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, etag, silentAfter: () => 0 });
    await assert.rejects(store({ idleMs: 50 }).resolve(reference), fails("timeout", /sent nothing for 0\.05 s/));
    assert.equal(server.asked.length, 4);
    assert.deepEqual(partials(), []);
  });

  it("is patient with a slow server that never falls silent", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, chunked: true });
    await resolvesTo(reference);
  });

  it("tries again when the server is busy, and not when it says no", async () => {
    await using server = await ImageServer.start();
    const { url, sha256, reference } = server.put("/disk", { content: disk, status: 503 });
    await assert.rejects(store().resolve(reference), fails("image-missing", /answered 503/));
    assert.equal(server.asked.length, 4);
    await assert.rejects(store().resolve(`${url}-none#sha256:${sha256}`), fails("image-missing", /answered 404.*check the address/));
    assert.equal(server.asked.length, 5);
    await assert.rejects(
      store().resolve(`http://127.0.0.1:1/disk#sha256:${sha256}`),
      fails("image-missing", /127\.0\.0\.1:1 cannot be reached/),
    );
    assert.deepEqual(partials(), []);
  });

  it("follows redirects, but not for ever, and not to other kinds of address", async () => {
    await using server = await ImageServer.start();
    const { sha256 } = server.put("/disk", { content: disk });
    const content = Buffer.alloc(0);
    server.put("/moved", { content, location: "/again" });
    server.put("/again", { content, location: `${server.url}/disk` });
    await resolvesTo(`${server.url}/moved#sha256:${sha256}`);
    server.put("/loop", { content, location: "/loop" });
    await assert.rejects(store().resolve(`${server.url}/loop#sha256:${"0".repeat(64)}`), fails("image-missing", /more than 10 redirects/));
    server.put("/local", { content, location: "file:///etc/passwd" });
    await assert.rejects(store().resolve(`${server.url}/local#sha256:${"0".repeat(64)}`), fails("image-missing", /redirects to file:/));
  });

  it("refuses more than its limit before and while it comes, and what is longer than was said", async () => {
    await using server = await ImageServer.start();
    const huge = server.put("/huge", { content: disk, claimedLength: 10 ** 14 });
    await assert.rejects(store().resolve(huge.reference), fails("too-large", /100000000000000 bytes; at most/));
    const endless = server.put("/endless", { content: disk, chunked: true });
    await assert.rejects(store({ maxBytes: 100_000 }).resolve(endless.reference), fails("too-large", /more than 100000 bytes/));
    const packed = server.put("/packed", { content: disk, headers: { "content-encoding": "gzip" } });
    await assert.rejects(store().resolve(packed.reference), fails("image-missing", /sends the file as gzip/));
  });

  it("says how much room it lacks before it fetches anything", async () => {
    await using server = await ImageServer.start();
    const most = 2 ** 50;
    const { reference } = server.put("/big", { content: disk, claimedLength: most - 1 });
    await assert.rejects(
      store({ maxBytes: most }).resolve(reference),
      fails("image-missing", /no room for it: 1125899906\.8 MB are to come.*free space/s),
    );
    assert.deepEqual(partials(), []);
  });

  it("says that the disk became full, and leaves nothing on it", async (t) => {
    const full = mkdtempSync(join(tmpdir(), "nexus-full-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "nexus-full", full], { stdio: "ignore" });
    } catch {
      return t.skip("mounting needs root");
    }
    t.after(() => {
      execFileSync("umount", [full]);
      rmSync(full, { recursive: true });
    });
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk", { content: disk, chunked: true });
    await assert.rejects(
      store({ directory: join(full, "images") }).resolve(reference),
      (error) => error instanceof KernelError && error.errno === "ENOSPC" && /free space/.test(error.hint ?? ""),
    );
    assert.deepEqual(readdirSync(join(full, "images", "partial")), []);
  });
});
