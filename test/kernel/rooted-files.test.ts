import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { Pidfd } from "../../src/kernel/processes.ts";
import { Rooted } from "../../src/kernel/rooted.ts";
import { listDirectory, makeDirectory, openToRead, removeFile, renameFile, statFile, writeFile } from "../../src/kernel/rooted-files.ts";
import { RootedBed } from "./rooted-bed.ts";

const path = (text: string) => Buffer.from(text);
const coded = (code: string) => (error: unknown) => error instanceof NexusError && error.code === code;

async function read(root: Rooted, name: string): Promise<string> {
  const { file } = await openToRead(root, path(name));
  await using _ = file;
  return (await file.readFile()).toString();
}

const write = (root: Rooted, name: string, text: string, how: "replace" | "create" | "append" = "replace", mode?: number) =>
  writeFile(root, path(name), { bytes: Buffer.from(text), how, mode, sync: false });

describe("files below the root of a process", { timeout: 60_000 }, () => {
  let bed: RootedBed;
  let root: Rooted;
  before(async () => {
    bed = await RootedBed.make();
    root = bed.open();
  });
  after(async () => {
    root[Symbol.dispose]();
    await bed[Symbol.asyncDispose]();
  });

  it("are made, read, added to and replaced, with the permissions asked for whatever the umask", async () => {
    await write(root, "/etc/one", "first\n", "create", 0o666);
    assert.equal(statSync(join(bed.root, "etc/one")).mode & 0o7777, 0o666);
    await assert.rejects(write(root, "/etc/one", "x", "create"), coded("name-taken"));
    await write(root, "/etc/one", "second\n", "append");
    assert.equal(await read(root, "/etc/one"), "first\nsecond\n");
    await bed.run("chown 12:34 /etc/one; chmod 4750 /etc/one");
    const before = statSync(join(bed.root, "etc/one")).ino;
    await write(root, "/etc/one", "third\n");
    const now = statSync(join(bed.root, "etc/one"));
    assert.deepEqual([now.uid, now.gid, now.mode & 0o7777], [12, 34, 0o750], "its owner stays, its set-user-id bit does not");
    assert.notEqual(now.ino, before, "in one step: another file under the same name");
    assert.deepEqual(
      readdirSync(join(bed.root, "etc")).filter((name) => name.startsWith(".nexus")),
      [],
    );
  });

  it("are found through links and .. as the process finds them", async () => {
    await bed.run("mkdir -p /a/b; echo inner >/a/b/f; ln -s /a/b /abs; ln -s ../a /etc/up; ln -s b/f /a/rel; ln -s /etc/made /a/dangling");
    for (const name of ["/abs/f", "/etc/up/b/f", "/a/rel", "/a/b/../../a/b/f", "/../../../a/b/f", "//a//b/./f"])
      assert.equal(await read(root, name), "inner\n", name);
    await write(root, "/a/rel", "through\n");
    assert.equal(readFileSync(join(bed.root, "a/b/f"), "utf8"), "through\n");
    assert.ok(lstatSync(join(bed.root, "a/rel")).isSymbolicLink());
    await write(root, "/a/dangling", "made\n");
    assert.equal(readFileSync(join(bed.root, "etc/made"), "utf8"), "made\n");
  });

  it("are listed with what they are, names of any bytes included, and no more than asked", async () => {
    mkdirSync(join(bed.root, "listed"));
    const odd = Buffer.concat([path(join(bed.root, "listed")), path("/new\nline"), Uint8Array.of(0xff, 0x80)]);
    writeFileSync(odd, "12345", { mode: 0o640 });
    symlinkSync("/nowhere", join(bed.root, "listed/link"));
    await bed.run("mkfifo /listed/pipe; mkdir /listed/dir; mknod /listed/null c 1 3");
    const { entries, more } = await listDirectory(root, path("/listed"), 100);
    assert.equal(more, false);
    assert.deepEqual(entries.map(({ name }) => name.toString("latin1")).toSorted(), ["dir", "link", "new\nline\xff\x80", "null", "pipe"]);
    assert.equal(entries.find((entry) => entry.name.includes(0xff))?.stats.size, 5);
    const few = await listDirectory(root, path("/listed"), 2);
    assert.deepEqual([few.entries.length, few.more], [2, true]);
    await removeFile(root, path("/listed"), true);
    assert.ok(!existsSync(join(bed.root, "listed")), "names that are no text go too");
  });

  it("are renamed and removed, and nothing is lost that was not meant", async () => {
    await write(root, "/x1", "1");
    await write(root, "/x2", "2");
    assert.throws(() => renameFile(root, { from: path("/x1"), to: path("/x2") }, { replace: false }), coded("name-taken"));
    renameFile(root, { from: path("/x1"), to: path("/x2") }, { replace: true });
    assert.equal(await read(root, "/x2"), "1");
    assert.throws(() => renameFile(root, { from: path("/x1"), to: path("/x3") }, { replace: true }), coded("not-found"));
    makeDirectory(root, path("/deep/er/still"), 0o751);
    assert.equal(statSync(join(bed.root, "deep/er/still")).mode & 0o7777, 0o751);
    makeDirectory(root, path("/deep/er"), 0o700);
    assert.throws(() => makeDirectory(root, path("/x2/y"), 0o755), coded("wrong-state"));
    await assert.rejects(removeFile(root, path("/deep"), false), coded("in-use"));
    await removeFile(root, path("/deep"), true);
    await removeFile(root, path("/x2"), false);
    await assert.rejects(removeFile(root, path("/x2"), false), coded("not-found"));
    for (const name of ["/", "/etc/..", "/etc/."]) await assert.rejects(removeFile(root, path(name), true), coded("usage"), name);
    assert.ok(existsSync(join(bed.root, "etc")));
  });

  it("that are links are removed themselves, not what they lead to", async () => {
    await bed.run("mkdir /kept; echo 1 >/kept/f; mkdir /gone; ln -s /kept /gone/link; ln -s /kept /link");
    await removeFile(root, path("/link"), true);
    await removeFile(root, path("/gone"), true);
    assert.ok(existsSync(join(bed.root, "kept/f")));
  });

  it("that are mounted are written into, and neither replaced, renamed nor removed", async () => {
    await write(root, "/etc/hosts", "127.0.0.1 localhost\n");
    assert.equal(readFileSync(join(bed.directory, "hosts"), "utf8"), "127.0.0.1 localhost\n");
    await bed.run("grep -q localhost /etc/hosts");
    await assert.rejects(removeFile(root, path("/etc/hosts"), false), coded("in-use"));
    await bed.run("mkdir /above; mv /etc/one /above/one; mkdir /above/at; mount -t tmpfs tmpfs /above/at; echo 1 >/above/at/f");
    await assert.rejects(removeFile(root, path("/above"), true), coded("in-use"));
    await bed.run("test -e /above/at/f");
    assert.throws(() => renameFile(root, { from: path("/x9"), to: path("/etc/hosts") }, { replace: true }), coded("in-use"));
    await bed.run("mkdir -p /volume/kept && echo 1 >/volume/kept/f");
    await assert.rejects(removeFile(root, path("/volume"), true), coded("in-use"));
    assert.ok(existsSync(join(bed.directory, "volume/kept/f")));
    await bed.run("grep -q localhost /etc/hosts");
    assert.equal(readFileSync(join(bed.root, "etc/hosts"), "utf8"), "below the mount\n", "what lies below the mount is as it was");
  });

  it("are of a process that is proved: one that has ended has none, and ours are not to be had", async () => {
    using own = Pidfd.open(process.pid);
    assert.ok(own !== undefined);
    assert.throws(() => Rooted.open(own, "web"), coded("not-permitted"));
    await using other = await RootedBed.make();
    using gone = Pidfd.open(other.pid);
    assert.ok(gone !== undefined);
    await other.end();
    assert.throws(() => Rooted.open(gone, "web"), coded("wrong-state"));
  });

  it("are said to be absent, or of the wrong kind, by their name", async () => {
    assert.throws(
      () => statFile(root, path("/no/such")),
      (error: NexusError) => error.code === "not-found" && error.message.startsWith("web: /no/such"),
    );
    await write(root, "/etc/one", "1");
    await assert.rejects(listDirectory(root, path("/etc/one"), 1), coded("wrong-state"));
    await assert.rejects(openToRead(root, path("/etc")), coded("wrong-state"));
    await assert.rejects(openToRead(root, path("/etc/one/x")), coded("wrong-state"));
    assert.throws(() => statFile(root, path(`/${"n".repeat(300)}`)), coded("usage"));
  });
});
