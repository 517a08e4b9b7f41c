import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, beforeEach, describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { NexusError } from "../../src/base/errors.ts";
import type { VmImageSource } from "../../src/guests/qemu-image.ts";
import { findAlias } from "../../src/images/vm-aliases.ts";
import { VmImageStore, type VmImageStoreOptions } from "../../src/images/vm-store.ts";
import { qcow2Bytes } from "./disk-samples.ts";
import { eventually, ImageServer } from "./image-server.ts";

const fails = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof NexusError && error.code === code && words.test(`${error.message} (${error.hint})`);

describe("the store of virtual machine images", () => {
  let disk: Buffer;
  let directory: string;
  const store = (more: Partial<VmImageStoreOptions> = {}) =>
    new VmImageStore({ directory, idleMs: 20_000, retryMs: 1, arch: "x64", ...more });
  const names = (sub: string): string[] => (existsSync(join(directory, sub)) ? readdirSync(join(directory, sub)) : []);

  before(() => {
    disk = qcow2Bytes();
  });
  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-vm-store-"));
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  it("is what the driver takes images from", async () => {
    const source: VmImageSource = store();
    await assert.rejects(
      source.resolve("nothing-like-it", () => undefined),
      fails("image-missing", /nothing-like-it/),
    );
  });

  it("fetches a URL once, verified, and knows it by its URL afterwards", async () => {
    await using server = await ImageServer.start();
    const { url, sha256, sha512, reference } = server.put("/disk.qcow2", { content: disk });
    const first = await store().resolve(reference);
    assert.deepEqual(first, { reference, key: `sha256:${sha256}`, disk: { path: first.disk?.path, format: "qcow2" } });
    assert.deepEqual(readFileSync(first.disk?.path ?? ""), disk);
    assert.equal(statSync(first.disk?.path ?? "").mode & 0o777, 0o400);
    for (const again of [reference, url, `${url}#sha512:${sha512}`]) {
      assert.deepEqual((await store().resolve(again)).disk, first.disk, again);
    }
    assert.equal(server.asked.length, 1);
    assert.deepEqual(
      store()
        .list()
        .map((view) => ({ ...view, pulledAt: "" })),
      [{ reference: url, key: first.key, format: "qcow2", bytes: disk.length, virtualBytes: 1 << 20, pulledAt: "", usedBy: [] }],
    );
    assert.deepEqual(names("partial"), []);
    await eventually(() => names("trash").length === 0);
  });

  it("takes a checksum given beside the URL, and says how to give one", async () => {
    await using server = await ImageServer.start();
    const { url, sha512 } = server.put("/disk.qcow2", { content: disk });
    await assert.rejects(store().resolve(url), fails("usage", /disk\.qcow2 needs the checksum.*disk\.qcow2#sha256: and the digits/s));
    assert.equal((await store().pull(url, { checksum: `sha512:${sha512}` })).reference, url);
  });

  it("takes an alias from its publisher's list, and only asks again when told to", async () => {
    await using server = await ImageServer.start();
    const bases = { debian: server.url };
    const alias = findAlias("debian-12", { arch: "x64", bases });
    assert.ok(alias !== undefined);
    const path = new URL(alias.url).pathname;
    const list = new URL(alias.checksums).pathname;
    const publish = (content: Buffer) => {
      const { sha512 } = server.put(path, { content });
      server.put(list, { content: Buffer.from(`${"0".repeat(128)}  other.qcow2\n${sha512}  ${path.split("/").at(-1)}\n`) });
    };
    publish(disk);
    const first = await store({ bases }).resolve("debian-12");
    const second = qcow2Bytes();
    publish(second);
    assert.equal((await store({ bases }).resolve("debian-12")).key, first.key);
    assert.equal(server.asked.length, 2);
    store().hold(first, "guest-1");
    const newer = await store({ bases }).pull("debian-12");
    assert.deepEqual(readFileSync(newer.disk?.path ?? ""), second);
    assert.ok(existsSync(first.disk?.path ?? ""), "a guest still uses it");
    store().release("guest-1");
    assert.deepEqual(await store().sweep(), [`disks/${first.key.replace(":", "-")}`]);
    assert.ok(existsSync(newer.disk?.path ?? ""));
    const lines: string[] = [];
    const unchanged = await store({ bases }).pull("debian-12", { progress: (line) => lines.push(line) });
    assert.equal(unchanged.key, newer.key);
    assert.equal(server.countOf(path), 2, "the list says that what is here is the newest");
    assert.match(lines.join("\n"), /reading the checksums/);
  });

  it("says what the publisher's list lacks", async () => {
    await using server = await ImageServer.start();
    const bases = { ubuntu: server.url };
    const list = new URL(findAlias("ubuntu", { arch: "arm64", bases })?.checksums ?? "").pathname;
    server.put(list, { content: Buffer.from("nothing here\n") });
    await assert.rejects(
      store({ bases, arch: "arm64" }).resolve("ubuntu"),
      fails("image-missing", /SHA256SUMS has no sha256 or sha512 sum for .*arm64\.img/),
    );
    server.files.delete(list);
    await assert.rejects(store({ bases, arch: "arm64" }).resolve("ubuntu"), fails("image-missing", /image ubuntu: .* answered 404/));
  });

  for (const [packing, pack] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    it(`unpacks an image packed with ${packing}, leaving holes`, async () => {
      await using server = await ImageServer.start();
      const raw = Buffer.alloc(8 << 20);
      disk.copy(raw, 4 << 20);
      const { reference, sha256 } = server.put("/disk.raw", { content: pack(raw) });
      const image = await store().resolve(reference);
      assert.equal(image.key, `sha256:${sha256}`);
      assert.equal(image.disk?.format, "raw");
      assert.ok(readFileSync(image.disk?.path ?? "").equals(raw));
      assert.ok(statSync(image.disk?.path ?? "").blocks * 512 < raw.length / 2, "zeros take no room");
      await assert.rejects(
        store({ directory: join(directory, "small"), maxBytes: 4 << 20 }).resolve(reference),
        fails("too-large", /unpacks to more than/),
      );
    });
  }

  it("refuses what is no disk for a guest, and leaves nothing of it", async () => {
    await using server = await ImageServer.start();
    const broken = gzipSync(Buffer.alloc(1 << 20)).subarray(0, 500);
    for (const [name, content, problem] of [
      ["page.html", Buffer.from("<html>log in first</html>"), /page\.html is no disk: it has 25 bytes/],
      ["disk.xz", Buffer.concat([Buffer.from("\xfd7zXZ\0", "latin1"), Buffer.alloc(506)]), /packed with xz \(unpack it yourself/],
      ["disk.vmdk", Buffer.concat([Buffer.from("KDMV"), Buffer.alloc(508)]), /disk\.vmdk is a disk of a kind that is not read here/],
      ["disk.gz", broken, /no whole gzip file/],
      ["cut.qcow2", disk.subarray(0, 60), /header is cut short/],
    ] as const) {
      await assert.rejects(store().resolve(server.put(`/${name}`, { content }).reference), fails("image-missing", problem), name);
      for (const sub of ["disks", "partial"]) assert.deepEqual(names(sub), [], `${name}: ${sub}`);
    }
  });

  it("lists, refuses to remove what is used, and removes what only one reference means", async () => {
    await using server = await ImageServer.start();
    const one = server.put("/one.qcow2", { content: disk });
    const two = server.put("/two.qcow2", { content: disk });
    const image = await store().resolve(one.reference);
    assert.deepEqual(await store().resolve(two.reference), { ...image, reference: two.reference });
    assert.equal(server.asked.length, 1, "the same content is fetched once");
    store().hold(image, "guest-1");
    store().hold(image, "guest-1");
    assert.deepEqual(store().usedBy(image), ["guest-1"]);
    await store().remove(two.reference);
    await assert.rejects(store().remove(one.url), fails("in-use", /used by guest-1/));
    store().release("guest-1");
    await store().remove(one.url);
    assert.equal(existsSync(image.disk?.path ?? ""), false);
    assert.deepEqual(store().list(), []);
    await assert.rejects(store().remove(one.url), fails("not-found", /not on this host/));
    await assert.rejects(store().remove("mini"), fails("not-found", /mini/));
    await assert.rejects(store().remove("/a/disk"), fails("usage", /never fetched/));
  });

  it("takes any name a file has in a URL", async () => {
    await using server = await ImageServer.start();
    for (const path of ["/", "/%zz", "/a%20b%2Fc?x=%00"]) {
      const { reference } = server.put(path, { content: disk });
      await store({ directory: join(directory, encodeURIComponent(path)) }).resolve(reference);
    }
  });

  it("fetches again what is damaged", async () => {
    await using server = await ImageServer.start();
    const { reference } = server.put("/disk.qcow2", { content: disk });
    const image = await store().resolve(reference);
    rmSync(image.disk?.path ?? "");
    assert.deepEqual(store().list(), []);
    await store().resolve(reference);
    assert.deepEqual(readFileSync(image.disk?.path ?? ""), disk);
    writeFileSync(join(image.disk?.path ?? "", "../facts.json"), "{");
    await store().resolve(reference);
    assert.equal(server.asked.length, 3);
  });

  it("sweeps what dead processes left, and keeps what can be gone on from", async () => {
    const old = new Date(Date.now() - 8 * 24 * 3600_000);
    for (const path of [
      "disks/.making-1/disk",
      "disks/sha256-2/disk",
      "partial/old/data",
      "partial/new/data",
      "mini/.making-x/kernel",
      "mini/packages/.unpacking-y/z",
    ]) {
      mkdirSync(join(directory, path, ".."), { recursive: true });
      writeFileSync(join(directory, path), "half");
    }
    mkdirSync(join(directory, "partial/empty"));
    utimesSync(join(directory, "partial/old/data"), old, old);
    assert.deepEqual((await store().sweep()).toSorted(), [
      "disks/.making-1",
      "disks/sha256-2",
      "mini/.making-x",
      "mini/packages/.unpacking-y",
      "partial/empty",
      "partial/old",
    ]);
    assert.deepEqual([names("disks"), names("partial"), names("trash")], [[], ["new"], []]);
    assert.deepEqual(await store().sweep(), []);
  });

  it("shows mini as it was built, and removes it and its older builds when no guest has them", async () => {
    const keys = ["1", "2"].map((digit) => digit.repeat(32)) as [string, string];
    for (const key of keys) {
      mkdirSync(join(directory, "mini", key), { recursive: true });
      for (const file of ["kernel", "initrd"]) writeFileSync(join(directory, "mini", key, file), "12345");
    }
    writeFileSync(join(directory, "mini/built.json"), JSON.stringify({ base: "b", key: keys[1] }));
    const [view] = store().list();
    assert.deepEqual([view?.reference, view?.key, view?.format, view?.bytes], ["mini", `mini-vm:${keys[1]}`, "kernel", 10]);
    store().hold({ key: `mini-vm:${keys[0]}` }, "guest-1");
    assert.deepEqual(await store().sweep(), []);
    store().release("guest-1");
    assert.deepEqual(await store().sweep(), [`mini/${keys[0]}`]);
    store().hold({ key: `mini-vm:${keys[1]}` }, "guest-2");
    await assert.rejects(store().remove("mini"), fails("in-use", /guest-2/));
    store().release("guest-2");
    await store().remove("mini");
    assert.deepEqual([store().list(), names("mini")], [[], []]);
  });

  it("keeps the hash of what it keeps", async () => {
    await using server = await ImageServer.start();
    const image = await store().resolve(server.put("/disk.qcow2", { content: disk }).reference);
    const facts = JSON.parse(readFileSync(join(image.disk?.path ?? "", "../facts.json"), "utf8")) as { sums: Record<string, string> };
    for (const kind of ["sha256", "sha512"]) assert.equal(facts.sums[kind], createHash(kind).update(disk).digest("hex"));
  });
});
