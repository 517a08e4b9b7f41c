import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { readQcow2Header } from "../../src/images/qcow2-header.ts";
import { VmImageStore } from "../../src/images/vm-store.ts";
import { qcow2Bytes, qemuImg } from "./disk-samples.ts";

const fails = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof NexusError && error.code === code && words.test(`${error.message} (${error.hint})`);

describe("a disk file of the host as an image", () => {
  let directory: string;
  let whole: Buffer;
  const at = (name: string): string => join(directory, name);
  const resolve = (path: string, imageTool = "qemu-img") => new VmImageStore({ directory: at("store"), imageTool }).resolve(path);

  before(() => {
    whole = qcow2Bytes();
  });
  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-disk-file-"));
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  it("is known by its content, whatever its name, and used where it is", async () => {
    writeFileSync(at("a.img"), whole);
    writeFileSync(at("b.qcow2"), Buffer.alloc(1 << 20, 7));
    assert.deepEqual((await resolve(at("a.img"))).disk, { path: at("a.img"), format: "qcow2" });
    assert.deepEqual((await resolve(at("b.qcow2"))).disk, { path: at("b.qcow2"), format: "raw" });
    qemuImg("create", "-q", "-f", "qcow2", at("fresh"), "10G");
    assert.equal((await resolve(at("fresh"))).disk?.format, "qcow2");
    symlinkSync("a.img", at("link"));
    assert.deepEqual(await resolve(at("link")), { ...(await resolve(at("a.img"))), reference: at("link") });
  });

  it("has another key when it was changed, and no other when it was only read", async () => {
    writeFileSync(at("a"), whole);
    const { key } = await resolve(at("a"));
    readFileSync(at("a"));
    assert.equal((await resolve(at("a"))).key, key);
    utimesSync(at("a"), new Date(), new Date(Date.now() + 1000));
    const later = (await resolve(at("a"))).key;
    assert.notEqual(later, key);
    copyFileSync(at("a"), at("b"));
    assert.notEqual((await resolve(at("b"))).key, later);
  });

  it("must not name other files, in whatever way, and those are never opened", async () => {
    const secret = at("secret");
    execFileSync("mkfifo", [secret]);
    qemuImg("create", "-q", "-u", "-f", "qcow2", "-b", secret, "-F", "raw", at("layer"), "1M");
    await assert.rejects(resolve(at("layer")), fails("image-missing", /layer is a layer over .*secret: an image must be whole/));
    qemuImg("create", "-q", "-u", "-f", "qcow2", "-b", 'json:{"driver":"file","filename":"/etc/passwd"}', "-F", "raw", at("json"), "1M");
    await assert.rejects(resolve(at("json")), fails("image-missing", /json is a layer over json:/));
    qemuImg("create", "-q", "-f", "qcow2", "-o", `data_file=${at("data")}`, at("outside"), "1M");
    await assert.rejects(resolve(at("outside")), fails("image-missing", /data in another file/));
    rmSync(at("data"));
    await assert.rejects(resolve(at("outside")), fails("image-missing", /data in another file/));
  });

  it("must be whole, sound, and of a kind that is read", async () => {
    writeFileSync(at("cut"), whole.subarray(0, whole.length - 200_000));
    await assert.rejects(resolve(at("cut")), fails("image-missing", /cut (is cut short|is damaged)/));
    qemuImg("create", "-q", "-f", "qcow2", at("fresh"), "1M");
    writeFileSync(at("half"), readFileSync(at("fresh")).subarray(0, 190_000));
    await assert.rejects(resolve(at("half")), fails("image-missing", /half is cut short: it has 190000 of 262144 bytes/));
    writeFileSync(at("bad"), whole);
    // Where the header says that the first level of the table is.
    const table = Number(whole.readBigUInt64BE(40));
    writeSync(openSync(at("bad"), "r+"), Buffer.alloc(8, 0x5a), 0, 8, table);
    await assert.rejects(resolve(at("bad")), fails("image-missing", /bad (is damaged|cannot be read)/));
    qemuImg("create", "-q", "-f", "vmdk", at("vmdk"), "1M");
    await assert.rejects(resolve(at("vmdk")), fails("image-missing", /kind that is not read here.*qemu-img convert/));
    writeFileSync(at("odd"), "x".repeat(700));
    await assert.rejects(resolve(at("odd")), fails("image-missing", /700 bytes/));
    writeFileSync(at("gz"), Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(510)]));
    await assert.rejects(resolve(at("gz")), fails("image-missing", /packed with gzip/));
    execFileSync("qemu-img", [
      "create",
      "-q",
      "-f",
      "qcow2",
      "--object",
      "secret,id=s,data=x",
      "-o",
      "encrypt.format=aes,encrypt.key-secret=s",
      at("locked"),
      "1M",
    ]);
    await assert.rejects(resolve(at("locked")), fails("image-missing", /encrypted/));
    // With LUKS (crypt_method 2, QEMU's docs/interop/qcow2.txt); making one for real measures the processor, and fails on a busy one.
    const luks = Buffer.from(whole);
    luks.writeUInt32BE(2, 32);
    writeFileSync(at("luks"), luks);
    await assert.rejects(resolve(at("luks")), fails("image-missing", /encrypted/));
  });

  it("must be a file that is there", async () => {
    await assert.rejects(resolve(at("none")), fails("image-missing", /none is not there/));
    mkdirSync(at("dir"));
    await assert.rejects(resolve(at("dir")), fails("image-missing", /no regular file/));
    execFileSync("mkfifo", [at("fifo")]);
    await assert.rejects(resolve(at("fifo")), fails("image-missing", /no regular file/));
    writeFileSync(at("empty"), "");
    await assert.rejects(resolve(at("empty")), fails("image-missing", /0 bytes/));
    writeFileSync(at("a"), whole);
    await assert.rejects(resolve(at("a"), at("no-qemu-img")), fails("runtime-missing", /qemu-utils/));
  });

  it("has a header that is read, or a WireError, whatever its bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 12 }), fc.nat(4096), (changes, length) => {
        const bytes = Uint8Array.from(whole.subarray(0, length));
        for (const [place, value] of changes) if (place < bytes.length) bytes[place] = value;
        try {
          readQcow2Header(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
    );
    assert.deepEqual(readQcow2Header(whole), {
      version: 3,
      virtualBytes: 1 << 20,
      clusterBytes: 65536,
      backing: undefined,
      externalData: false,
      encrypted: false,
    });
  });
});
