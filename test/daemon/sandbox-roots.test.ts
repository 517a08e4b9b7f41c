import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { NexusError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { runRoot } from "../../src/daemon/run-root.ts";
import { sourceOf } from "../../src/daemon/rootfs-source.ts";
import { rootReport, SandboxRoots } from "../../src/daemon/sandbox-roots.ts";
import { runSpec } from "../../src/spec/run.ts";
import { ImageServer } from "../images/image-server.ts";
import { tarOf } from "../images/test-registry.ts";
import { until } from "../kernel/world/until.ts";

const none = { rootfs: "host", rootfs_amd64: "none", rootfs_arm64: "none" };
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const never = new AbortController().signal;

/** With a shell, and a mark of its own. */
async function archive(mark: string = randomBytes(8).toString("hex")): Promise<{ bytes: Buffer; mark: string; sum: string }> {
  const bytes = gzipSync(
    await tarOf([
      { name: "bin/sh", content: "#!", mode: 0o755, ...owner },
      { name: "mark", content: mark, ...owner },
    ]),
  );
  return { bytes, mark, sum: createHash("sha256").update(bytes).digest("hex") };
}

describe("the root file systems of untrusted commands", () => {
  const base = mkdtempSync(join(tmpdir(), "nexus-roots-"));
  let server: ImageServer;
  before(async () => {
    server = await ImageServer.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(base, { recursive: true });
  });
  let beds = 0;
  const bed = () => {
    const clock = { at: 0, monotonic: () => clock.at };
    const told: string[] = [];
    const ready: (string | undefined)[] = [];
    const cache = join(base, `cache-${beds++}`);
    const roots = new SandboxRoots({
      cache,
      clock,
      log: silentLog,
      chronicle: { tell: ({ kind, subject }) => told.push(`${kind} ${subject}`) },
      onReady: (directory) => ready.push(directory),
    });
    return { roots, clock, told, ready, cache, [Symbol.dispose]: () => roots[Symbol.dispose]() };
  };
  const markIn = (directory: string | undefined) => readFileSync(join(directory ?? "", "mark"), "utf8");

  it("are the host's, as nothing is set", async () => {
    using b = bed();
    assert.deepEqual(await b.roots.get(undefined, never), { name: "host", directory: undefined });
    assert.deepEqual(await b.roots.report(), { kind: "ready", name: "host", directory: undefined });
  });

  it("are fetched as soon as they are set, and once, however many ask meanwhile", async () => {
    using b = bed();
    const { bytes, mark, sum } = await archive();
    const gate = Promise.withResolvers<void>();
    const { url } = server.put("/once.tgz", { content: bytes, gate: gate.promise });
    const rootfs = `${url}#sha256:${sum}`;
    b.roots.follow({ ...none, rootfs });
    await until("it is asked for", () => server.countOf("/once.tgz") === 1);
    assert.deepEqual(await b.roots.report(), { kind: "coming", name: rootfs, progress: undefined });
    const asking = [1, 2, 3].map(() => b.roots.get(undefined, never));
    gate.resolve();
    const [first, ...others] = await Promise.all(asking);
    assert.equal(markIn(first?.directory), mark);
    assert.equal(first?.name, rootfs);
    for (const other of others) assert.deepEqual(other, first);
    await until("it is told", () => b.ready.length > 0);
    assert.deepEqual(b.ready, [first?.directory]);
    assert.deepEqual(b.told, [`rootfs.started ${url}`, `rootfs.ready ${url}`]);
    assert.equal(server.countOf("/once.tgz"), 1);
    assert.equal(statSync(b.cache).mode & 0o077, 0, "its set-user-id programs are for nobody else to reach");
    assert.deepEqual(await b.roots.report(), { kind: "ready", ...first });
    // A daemon that comes later finds it, and says nothing.
    const next = new SandboxRoots({
      cache: b.cache,
      clock: b.clock,
      log: silentLog,
      chronicle: { tell: ({ message }) => assert.fail(message) },
      onReady: () => {},
    });
    next.follow({ ...none, rootfs });
    assert.deepEqual(await next.get(undefined, never), first);
    assert.deepEqual(await rootReport({ ...none, rootfs }, b.cache), { kind: "ready", ...first });
    next[Symbol.dispose]();
  });

  it("that have another sum are refused at once and fetched again later, or when the setting changes", async () => {
    using b = bed();
    const { bytes, mark, sum } = await archive();
    const { url } = server.put("/wrong.tgz", { content: (await archive()).bytes });
    b.roots.follow({ ...none, rootfs: "auto", [process.arch === "arm64" ? "rootfs_arm64" : "rootfs_amd64"]: `${url}#sha256:${sum}` });
    await until("it has failed", () => b.told.includes("rootfs.failed auto"));
    const refused = async (words: RegExp) =>
      await assert.rejects(
        b.roots.get(undefined, never),
        (error) => error instanceof NexusError && error.code === "image-missing" && words.test(error.message),
      );
    await refused(/it should have sha256:\w+ \(tried again in 30 s\)$/);
    b.clock.at = 29_500;
    await refused(/\(tried again in 1 s\)$/);
    assert.equal(server.countOf("/wrong.tgz"), 1);
    const report = await b.roots.report();
    assert.ok(report.kind === "failed" && report.reason.includes("it should have"));
    b.clock.at = 30_001;
    await refused(/should have sha256:\w+$/);
    await refused(/\(tried again in 60 s\)$/);
    assert.equal(server.countOf("/wrong.tgz"), 2);
    server.put("/wrong.tgz", { content: bytes });
    b.roots.follow({ ...none, rootfs: `${url}#sha256:${sum}` });
    assert.equal(markIn((await b.roots.get(undefined, never)).directory), mark);
    assert.deepEqual(b.told.slice(-2), [`rootfs.started ${url}`, `rootfs.ready ${url}`]);
  });

  it("in an archive are unpacked once, and again when it was written anew; a damaged one is no root", async () => {
    using b = bed();
    const path = join(base, "local.tgz");
    const [one, two] = [await archive(), await archive()];
    writeFileSync(path, one.bytes);
    b.roots.follow({ ...none, rootfs: path });
    const first = await b.roots.get(undefined, never);
    assert.equal(first.name, `${path}#sha256:${one.sum}`);
    assert.equal(markIn(first.directory), one.mark);
    writeFileSync(path, `${"x".repeat(600)}`);
    await assert.rejects(b.roots.get(undefined, never), /local\.tgz: a layer cannot be unpacked/);
    writeFileSync(path, two.bytes);
    assert.equal(markIn((await b.roots.get(undefined, never)).directory), two.mark);
    rmSync(path);
    await assert.rejects(b.roots.get(undefined, never), /local\.tgz cannot be used: ENOENT/);
  });

  it("in a directory are used where they are, as long as they are there", async () => {
    using b = bed();
    const path = join(base, "tree");
    mkdirSync(join(path, "bin"), { recursive: true });
    symlinkSync(path, `${path}-link`);
    b.roots.follow({ ...none, rootfs: `${path}-link` });
    await assert.rejects(b.roots.get(undefined, never), /tree is no root file system for sandboxes: it has no \/bin\/sh/);
    assert.equal((await b.roots.report()).kind, "failed");
    writeFileSync(join(path, "bin/sh"), "", { mode: 0o755 });
    assert.deepEqual(await b.roots.get(undefined, never), { name: path, directory: path });
    assert.equal(existsSync(b.cache), false);
  });

  it("that a run names are its own, and the setting's stay", async () => {
    using b = bed();
    const { bytes, mark, sum } = await archive();
    const { url } = server.put("/named.tgz", { content: bytes });
    assert.equal(markIn((await b.roots.get(`${url}#sha256:${sum}`, never)).directory), mark);
    assert.deepEqual(await b.roots.get(undefined, never), { name: "host", directory: undefined });
    assert.deepEqual(b.ready, []);
  });

  it("say what to set or give when they can be none", () => {
    const refusal = (rootfs: string, arch = "x64", more = {}): string => {
      try {
        sourceOf(rootfs, { ...none, ...more }, arch);
      } catch (error) {
        assert.ok(error instanceof NexusError && error.code === "image-missing");
        return `${error.message} | ${error.hint}`;
      }
      return assert.fail("it was taken");
    };
    const address = `https://example.org/r#sha256:${"0".repeat(64)}`;
    assert.match(refusal("auto"), /is auto, and no address is set for it \| nexus config set sandbox\.rootfs_amd64 URL#sha256:DIGITS$/);
    assert.match(refusal("auto", "arm64", { rootfs_amd64: address }), /sandbox\.rootfs_arm64/);
    assert.equal(sourceOf("auto", { ...none, rootfs_arm64: address }, "arm64").kind, "url");
    assert.match(refusal("/"), /own root directory cannot be .* \| `host` gives/);
    assert.match(refusal("/no/such"), /\/no\/such cannot be used: ENOENT \| give host, a directory/);
    assert.match(refusal("/dev/null"), /neither a directory nor an archive/);
    assert.match(refusal("root"), /root: must be host/);
  });

  it("are waited for no longer than the run may take, and a run that is cancelled waits no more", async () => {
    using b = bed();
    const { bytes, sum } = await archive();
    const gate = Promise.withResolvers<void>();
    const { url } = server.put("/slow.tgz", { content: bytes, gate: gate.promise });
    b.roots.follow({ ...none, rootfs: `${url}#sha256:${sum}` });
    const images = { resolve: () => assert.fail(), hold: () => assert.fail(), release: () => assert.fail() };
    const said: string[] = [];
    const wait = (timeoutMs: number, signal: AbortSignal) =>
      runRoot(
        {
          kind: "directory",
          run: "r",
          spec: runSpec.parse({ command: ["x"], timeoutMs }),
          progress: (line: string) => void said.push(line),
        },
        { images, roots: b.roots },
        signal,
      );
    await assert.rejects(
      wait(50, never),
      (error) => error instanceof NexusError && error.code === "timeout" && /was not here within the 50 ms of the run/.test(error.message),
    );
    const stop = new AbortController();
    const waiting = wait(60_000, stop.signal);
    stop.abort(new NexusError("wrong-state", "cancelled"));
    await assert.rejects(waiting, /cancelled/);
    gate.resolve();
    const { name, root } = await wait(60_000, never);
    assert.equal(name, `${url}#sha256:${sum}`);
    assert.deepEqual(said, [`unpacking ${url}`]);
    assert.ok(root !== undefined && existsSync(join(root.lower, "bin/sh")));
    assert.equal(server.countOf("/slow.tgz"), 1, "the fetch outlived those who waited");
  });
});
