import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import type { GuestFiles } from "../../src/guests/guest-files.ts";
import { GuestAgent } from "../../src/guests/qga.ts";
import { readEntries } from "../../src/guests/vm-entries.ts";
import { agentFiles } from "../../src/guests/vm-files.ts";
import { fakeAgent } from "./fake-agent.ts";

const coded = (code: string) => (error: unknown) => error instanceof NexusError && error.code === code;

describe("files of a virtual machine, by its agent", { timeout: 60_000 }, () => {
  let root: string;
  let agent: Awaited<ReturnType<typeof fakeAgent>>;
  let files: GuestFiles;
  let lent = 0;
  const at = (name: string) => join(root, 'it\'s; $(touch pwned) "here"', name);
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "nexus-vmfiles-"));
    mkdirSync(at(""), { recursive: true });
    agent = await fakeAgent(root);
    lent = 0;
    files = agentFiles("web", async () => {
      const value = await GuestAgent.connect(root, "agent", { timeoutMs: 10_000 });
      lent++;
      return { value, [Symbol.dispose]: () => (value[Symbol.dispose](), void lent--) };
    });
  });
  afterEach(async () => {
    assert.equal(lent, 0, "every conversation is ended");
    assert.equal(agent.open.size, 0, "every file is closed");
    await agent[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });
  const write = (name: string, text: string, how: "replace" | "create" | "append" = "replace", mode?: number) =>
    files.write(at(name), { bytes: Buffer.from(text), how, mode, sync: false });

  it("are written, read in parts and whole, and replaced with owner and permissions kept", async () => {
    const bytes = randomBytes(600_000);
    await files.write(at("b"), { bytes, how: "create", mode: 0o640, sync: true });
    const { file, chunks } = await files.read(at("b"), { offset: 0 });
    assert.deepEqual([file.name, file.kind, file.sizeBytes, file.mode], ["b", "file", 600_000, 0o640]);
    assert.ok((await buffer(chunks)).equals(bytes));
    const part = await files.read(at("b"), { offset: 599_990, limitBytes: 4 });
    assert.ok((await buffer(part.chunks)).equals(bytes.subarray(599_990, 599_994)));
    await assert.rejects(write("b", "x", "create"), coded("name-taken"));
    chmodSync(at("b"), 0o4750);
    assert.equal((await write("b", "short")).mode, 0o750);
    await write("b", " more", "append");
    assert.equal(readFileSync(at("b"), "utf8"), "short more");
    symlinkSync("b", at("link"));
    await write("link", "through");
    assert.equal(readFileSync(at("b"), "utf8"), "through");
    assert.deepEqual(readdirSync(at("")).toSorted(), ["b", "link"], "no temporary file is left");
  });

  it("are listed whatever their names, with links as links, and no more than asked", async () => {
    assert.deepEqual(await files.list(at(""), 10), { entries: [], more: false });
    for (const name of ["a", "*", ".hidden", "..odd", "-rf", "new\nline", " "]) writeFileSync(at(name), name);
    writeFileSync(Buffer.concat([Buffer.from(`${at("")}/`), Uint8Array.of(0xff)]), "");
    mkdirSync(at("dir"));
    symlinkSync("/nowhere", at("link"));
    const { entries, more } = await files.list(at(""), 100);
    assert.deepEqual(
      entries.map(({ name, kind }) => `${name} ${kind}`).toSorted(),
      [
        "a file",
        "* file",
        ".hidden file",
        "..odd file",
        "-rf file",
        "new\nline file",
        "  file",
        "dir directory",
        "link link",
        "\ufffd file",
      ].toSorted(),
    );
    assert.equal(entries.find(({ nameBytes }) => nameBytes !== undefined)?.nameBytes, "/w==");
    assert.equal(more, false);
    const few = await files.list(at(""), 3);
    assert.deepEqual([few.entries.length, few.more], [3, true]);
  });

  it("are made, renamed and removed, with refusals that say what is there", async () => {
    await files.makeDirectory(at("x/y"), 0o751);
    assert.equal(statSync(at("x/y")).mode & 0o7777, 0o751);
    await write("x/f", "1");
    await write("x/g", "2");
    await assert.rejects(files.rename(at("x/f"), at("x/g"), { replace: false, follow: false }), coded("name-taken"));
    await files.rename(at("x/f"), at("x/g"), { replace: true, follow: false });
    assert.equal(readFileSync(at("x/g"), "utf8"), "1");
    await assert.rejects(files.rename(at("x/g"), at("x/y"), { replace: true, follow: false }), coded("wrong-state"));
    symlinkSync("g", at("x/l"));
    await write("x/h", "3");
    await files.rename(at("x/h"), at("x/l"), { replace: true, follow: true });
    assert.equal(readFileSync(at("x/g"), "utf8"), "3");
    await assert.rejects(files.remove(at("x"), { recursive: false }), coded("in-use"));
    await files.remove(at("x"), { recursive: true });
    assert.ok(!existsSync(at("x")));
    for (const work of [
      () => files.remove(at("x"), { recursive: true }),
      () => files.stat(at("x")),
      () => files.read(at("x"), { offset: 0 }),
      () => files.list(at("x"), 1),
      () => files.rename(at("x"), at("z"), { replace: true, follow: false }),
      () => write("no/dir/f", "1"),
    ])
      await assert.rejects(work, coded("not-found"), work.toString());
    await write("f", "1");
    await assert.rejects(files.list(at("f"), 1), coded("wrong-state"));
    await assert.rejects(files.makeDirectory(at("f"), 0o755), coded("wrong-state"));
    await assert.rejects(write("", "1"), coded("wrong-state"));
  });

  it("that are pipes are never opened, and words of users are never program text", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    await assert.rejects(files.read(at("pipe"), { offset: 0 }), coded("unsupported"));
    for (const how of ["append", "replace"] as const) await assert.rejects(write("pipe", "x", how), coded("unsupported"));
    assert.deepEqual(
      agent.asked.filter(({ execute, arguments: given }) => execute === "guest-file-open" && String(given["path"]).endsWith("pipe")),
      [],
    );
    const scripts = agent.asked.flatMap(({ execute, arguments: given }) =>
      execute === "guest-exec" ? [(given["arg"] as string[])[1] ?? ""] : [],
    );
    assert.ok(scripts.length > 0 && scripts.every((script) => !script.includes("pwned")));
    assert.ok(!existsSync("pwned") && !existsSync(join(root, "pwned")));
  });

  it("of a guest whose disk is full are not half written", async () => {
    await agent[Symbol.asyncDispose]();
    rmSync(join(root, "agent"), { force: true });
    agent = await fakeAgent(root, ({ execute }) => {
      if (execute === "guest-file-write") throw new Error("No space left on device");
    });
    writeFileSync(at("kept"), "before");
    await assert.rejects(write("kept", "after"), coded("runtime-failed"));
    assert.equal(readFileSync(at("kept"), "utf8"), "before");
    assert.deepEqual(readdirSync(at("")), ["kept"]);
  });

  it("are what the guest says, or an error that it says nonsense", () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .array(fc.constantFrom("81a4 1 2", "41ed 0 -1", "\0", "a", "b/c", "\n", "zz", "81a4 99999999999999999 1"), { maxLength: 12 })
        .map((parts) => Buffer.from(parts.join(""))),
    );
    fc.assert(
      fc.property(noise, (bytes) => {
        try {
          for (const entry of readEntries(Buffer.from(bytes)))
            assert.ok(entry.name !== "" && !entry.name.includes("/") && !Number.isNaN(Date.parse(entry.modifiedAt)));
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
