import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { digestName, lockDigest } from "../../src/images/digest-lock.ts";
import { ImageStore } from "../../src/images/store.ts";
import { until } from "../services/dns/client.ts";
import { type TestEntry, TestRegistry } from "./test-registry.ts";

describe("images from a registry", { skip: TestRegistry.installed ? false : "docker-registry is not installed" }, () => {
  let registry: TestRegistry;
  let directory: string;
  let store: ImageStore;

  before(async () => {
    registry = await TestRegistry.start();
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
  });
  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-images-"));
    store = new ImageStore({ directory });
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  const base: TestEntry[] = [
    { name: "etc/", type: "directory", mode: 0o755 },
    { name: "etc/gone", content: "a" },
    { name: "etc/kept", content: "below" },
    { name: "opaque/", type: "directory" },
    { name: "opaque/old", content: "old" },
    { name: "bin/", type: "directory", mode: 0o755 },
    { name: "bin/su", content: "#!", mode: 0o4755, uid: 0 },
    { name: "bin/hard", type: "link", linkname: "bin/su" },
    { name: "bin/sym", type: "symlink", linkname: "/etc/kept" },
    { name: "lib", type: "symlink", linkname: "usr/lib" },
    { name: "usr/lib/", type: "directory" },
    { name: "owned", content: "x", uid: 1234, gid: 5678, mode: 0o640 },
    { name: "dev/null", type: "character-device", devmajor: 1, devminor: 3 },
  ];
  const above: TestEntry[] = [
    { name: "opaque/new", content: "new" },
    { name: "opaque/.wh..wh..opq", content: "" },
    { name: "etc/.wh.gone", content: "" },
    { name: "etc/kept", content: "above" },
    { name: "lib/through-link", content: "in usr/lib" },
  ];

  for (const kind of ["oci", "docker"] as const) {
    it(`lays the layers of an ${kind} image over each other, with whiteouts, links, owners and modes`, async () => {
      await registry.pushImage("team/app", "1.0", {
        kind,
        layers: [{ entries: base }, { entries: above }],
        config: { Cmd: ["/bin/su"], Env: ["A=b"], User: "1234" },
      });
      const lines: string[] = [];
      const image = await store.resolve(`${registry.host}/team/app:1.0`, (line) => lines.push(line));
      const at = (path: string): string => join(image.lower, path);
      assert.equal(existsSync(at("etc/gone")), false);
      assert.equal(readFileSync(at("etc/kept"), "utf8"), "above");
      assert.deepEqual(readdirSync(at("opaque")), ["new"]);
      assert.equal(statSync(at("bin/su")).mode & 0o7777, 0o4755);
      assert.equal(statSync(at("bin/hard")).ino, statSync(at("bin/su")).ino);
      assert.equal(readlinkSync(at("bin/sym")), "/etc/kept");
      assert.equal(readFileSync(at("usr/lib/through-link"), "utf8"), "in usr/lib");
      const owned = lstatSync(at("owned"));
      assert.deepEqual([owned.uid, owned.gid, owned.mode & 0o7777, owned.mtimeMs], [1234, 5678, 0o640, 1_700_000_000_000]);
      assert.equal(existsSync(at("dev/null")), false);
      assert.ok(
        lines.some((line) => line.includes("dev/null") && line.includes("left out")),
        lines.join("\n"),
      );
      assert.deepEqual([image.config.command, image.config.env, image.config.user], [["/bin/su"], ["A=b"], "1234"]);
    });
  }

  it("unpacks zstd and plain layers", async () => {
    await registry.pushImage("packed", "latest", {
      layers: [
        { entries: [{ name: "a", content: "zstd" }], compression: "zstd" },
        { entries: [{ name: "b", content: "none" }], compression: "none" },
      ],
    });
    const image = await store.resolve(`${registry.host}/packed`);
    assert.deepEqual([readFileSync(join(image.lower, "a"), "utf8"), readFileSync(join(image.lower, "b"), "utf8")], ["zstd", "none"]);
  });

  it("takes this machine's manifest from an index, and says which platforms there are instead", async () => {
    const mine = await registry.pushImage("multi", "one", { layers: [{ entries: [{ name: "mine", content: "" }] }] });
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const own = process.arch === "x64" ? "amd64" : process.arch;
    const entry = (architecture: string) => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...mine,
      platform: { os: "linux", architecture },
    });
    await registry.pushManifest("multi", "all", { schemaVersion: 2, mediaType, manifests: [entry("s390x"), entry(own)] } as {
      mediaType: string;
    });
    await registry.pushManifest("multi", "other", { schemaVersion: 2, mediaType, manifests: [entry("s390x")] } as { mediaType: string });
    const image = await store.resolve(`${registry.host}/multi:all`);
    assert.ok(existsSync(join(image.lower, "mine")));
    await assert.rejects(store.resolve(`${registry.host}/multi:other`), /only for linux\/s390x/);
  });

  const malicious: [name: string, entries: TestEntry[], problem: RegExp][] = [
    ["a name with ..", [{ name: "../../etc/nexus-escaped", content: "x" }], /leads out of the image/],
    ["a name with .. in the middle", [{ name: "a/../../nexus-escaped", content: "x" }], /leads out of the image/],
    [
      "a file below an absolute link",
      [
        { name: "evil", type: "symlink", linkname: "/etc" },
        { name: "evil/nexus-escaped", content: "x" },
      ],
      /leads through the link/,
    ],
    [
      "a file below a climbing link",
      [
        { name: "evil", type: "symlink", linkname: "../../../../etc" },
        { name: "evil/nexus-escaped", content: "x" },
      ],
      /leads out of the image/,
    ],
    ["a hard link to a file outside", [{ name: "passwd", type: "link", linkname: "../../../../etc/passwd" }], /leads out of the image/],
    [
      "a hard link through an absolute link",
      [
        { name: "evil", type: "symlink", linkname: "/etc" },
        { name: "passwd", type: "link", linkname: "evil/passwd" },
      ],
      /leads through the link/,
    ],
    ["a whiteout of the parent", [{ name: ".wh...", content: "" }], /is no whiteout/],
    [
      "a loop of links",
      [
        { name: "a", type: "symlink", linkname: "b" },
        { name: "b", type: "symlink", linkname: "a" },
        { name: "a/x", content: "" },
      ],
      /leads through the link/,
    ],
  ];
  for (const [name, entries, problem] of malicious) {
    it(`refuses a layer with ${name}, and leaves nothing`, async () => {
      const tag = `m${malicious.findIndex((one) => one[0] === name)}`;
      await registry.pushImage("evil", tag, { layers: [{ entries }] });
      await assert.rejects(
        store.resolve(`${registry.host}/evil:${tag}`),
        (error) => error instanceof NexusError && error.code === "image-missing" && problem.test(error.message),
      );
      assert.equal(existsSync("/etc/nexus-escaped"), false);
      assert.deepEqual(readdirSync(join(directory, "unpacked")), []);
      assert.deepEqual(store.list(), []);
    });
  }

  it("writes beside a file and not through a link of the same name", async () => {
    await registry.pushImage("through", "latest", {
      layers: [
        { entries: [{ name: "f", type: "symlink", linkname: "/etc/nexus-escaped" }] },
        { entries: [{ name: "f", content: "mine" }] },
      ],
    });
    const image = await store.resolve(`${registry.host}/through`);
    assert.equal(lstatSync(join(image.lower, "f")).isFile(), true);
    assert.equal(existsSync("/etc/nexus-escaped"), false);
  });

  it("refuses a layer that unpacks to something else than the image says", async () => {
    await registry.pushImage("liar", "latest", { layers: [{ entries: [{ name: "a", content: "" }], diffId: `sha256:${"0".repeat(64)}` }] });
    await assert.rejects(store.resolve(`${registry.host}/liar`), /not sha256:000/);
  });

  it("downloads once for many callers", async () => {
    await registry.pushImage("busy", "latest", { layers: [{ entries: [{ name: "a", content: "x".repeat(100_000) }] }] });
    let bytes = 0;
    const one = new ImageStore({ directory, onProgress: (p) => (bytes = p.receivedBytes) });
    const images = await Promise.all(Array.from({ length: 8 }, () => one.resolve(`${registry.host}/busy`)));
    assert.equal(new Set(images.map((image) => image.lower)).size, 1);
    assert.equal(readdirSync(join(directory, "unpacked")).length, 1);
    assert.ok(bytes > 0 && bytes < 100_000);
    assert.deepEqual(readdirSync(join(directory, "blobs")), []);
  });

  it("waits while another process fetches the same image", async () => {
    const { digest } = await registry.pushImage("locked", "latest", { layers: [{ entries: [{ name: "a", content: "" }] }] });
    const lines: string[] = [];
    const held = await lockDigest(directory, digestName(digest), { signal: AbortSignal.timeout(1000), onWait: () => undefined });
    const pulling = new ImageStore({ directory }).pull(`${registry.host}/locked`, (line) => {
      lines.push(line);
      if (line.startsWith("waiting")) held[Symbol.dispose]();
    });
    assert.ok(existsSync(join((await pulling).lower, "a")));
    assert.ok(lines.some((line) => line.includes("another fetch of the same image")));
  });

  it("lists images, refuses to remove one in use, and removes it after", async () => {
    await registry.pushImage("kept", "1", { layers: [{ entries: [{ name: "a", content: "" }] }] });
    const reference = `${registry.host}/kept:1`;
    const image = await store.resolve(reference);
    store.hold(image, "guest-1");
    assert.deepEqual(
      store.list().map((view) => [view.reference, view.usedBy]),
      [[reference, ["guest-1"]]],
    );
    assert.throws(
      () => store.remove(reference),
      (error) => error instanceof NexusError && error.code === "in-use" && error.message.includes("guest-1"),
    );
    store.release("guest-1");
    store.remove(reference);
    assert.equal(existsSync(image.lower), false);
    // Out of sight already; the disk's work is done beside what the daemon does next.
    assert.equal(readdirSync(join(directory, "trash")).length, 1);
    await until(() => readdirSync(join(directory, "trash")).length === 0);
    assert.deepEqual(store.list(), []);
    assert.throws(
      () => store.remove(reference),
      (error) => error instanceof NexusError && error.code === "not-found",
    );
  });

  it("removes an image whose tag moved on, at once or when the last guest let go of it", async () => {
    const moved = async (content: string) => {
      await registry.pushImage("moving", "1", { layers: [{ entries: [{ name: "a", content }] }] });
      return store.pull(`${registry.host}/moving:1`);
    };
    const unpacked = () => readdirSync(join(directory, "unpacked"));
    await moved("one");
    const second = await moved("two");
    assert.deepEqual(unpacked(), [digestName(second.key)]);
    store.hold(second, "guest-1");
    const third = await moved("three");
    assert.deepEqual(unpacked().toSorted(), [second, third].map((image) => digestName(image.key)).toSorted());
    assert.deepEqual(await store.sweep(), []);
    store.release("guest-1");
    assert.deepEqual(await store.sweep(), [`unpacked/${digestName(second.key)}`]);
    assert.deepEqual(unpacked(), [digestName(third.key)]);
    assert.deepEqual(readdirSync(join(directory, "trash")), []);
  });

  it("says what was tried when the image or the registry is not there", async () => {
    await assert.rejects(
      store.resolve(`${registry.host}/no/such:tag`),
      (error) => error instanceof NexusError && error.code === "image-missing" && /no\/such:tag.*has no manifest tag/.test(error.message),
    );
    await assert.rejects(
      store.resolve("127.0.0.1:1/none"),
      (error) => error instanceof NexusError && error.code === "image-missing" && /127\.0\.0\.1:1/.test(error.message),
    );
  });

  it("logs in with a token the registry names, using the stored login", async () => {
    await registry.pushImage("private", "latest", { layers: [{ entries: [{ name: "secret", content: "s" }] }] });
    const seen: string[] = [];
    // A door before the real registry that wants a bearer token.
    const door = createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://door");
      if (url.pathname === "/token") {
        seen.push(`${request.headers.authorization} ${url.searchParams.get("service")} ${url.searchParams.get("scope")}`);
        response.end(JSON.stringify({ token: "opened" }));
      } else if (request.headers.authorization !== "Bearer opened") {
        response
          .writeHead(401, {
            "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="door",scope="repository:private:pull"`,
          })
          .end();
      } else {
        void fetch(`http://${registry.host}${request.url}`, { headers: { accept: request.headers.accept ?? "*/*" } }).then(async (r) =>
          response.writeHead(r.status).end(Buffer.from(await r.arrayBuffer())),
        );
      }
    });
    await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
    try {
      const address = door.address();
      const host = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
      const credentialsFile = join(directory, "login.json");
      const { writeFileSync } = await import("node:fs");
      writeFileSync(credentialsFile, JSON.stringify({ auths: { [host]: { auth: Buffer.from("me:pw").toString("base64") } } }));
      const image = await new ImageStore({ directory, credentialsFile }).resolve(`${host}/private`);
      assert.ok(existsSync(join(image.lower, "secret")));
      assert.deepEqual(seen, [`Basic ${Buffer.from("me:pw").toString("base64")} door repository:private:pull`]);
    } finally {
      door.closeAllConnections();
      door.close();
    }
  });
});

describe("images of this host", () => {
  it("builds mini once from a static busybox", { skip: existsSync("/bin/busybox") ? false : "no busybox" }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "nexus-mini-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const store = new ImageStore({ directory });
    const first = await store.resolve("mini");
    const again = await store.resolve("mini");
    assert.equal(again.lower, first.lower);
    assert.equal(readdirSync(join(directory, "mini")).length, 1);
    const run = spawnSync("chroot", [first.lower, "/bin/sh", "-c", "id -un; ls -d /tmp; stat -c %a /tmp"], { encoding: "utf8" });
    assert.equal(run.stdout, "root\n/tmp\n1777\n", run.stderr);
  });

  it("takes a directory with programs, and no other", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "nexus-dir-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const store = new ImageStore({ directory: join(directory, "store") });
    const missing = (error: unknown): boolean => error instanceof NexusError && error.code === "image-missing";
    await assert.rejects(store.resolve(directory), missing);
    await assert.rejects(store.resolve(join(directory, "nowhere")), missing);
    await assert.rejects(store.resolve("/"), missing);
    const mini = await store.resolve("mini");
    assert.equal((await store.resolve(mini.lower)).lower, mini.lower);
  });
});
