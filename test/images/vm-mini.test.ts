import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { type CpioEntry, withParents, writeCpio } from "../../src/images/vm-cpio.ts";
import { readElfNeeds } from "../../src/images/vm-elf.ts";
import { miniFiles } from "../../src/images/vm-mini-files.ts";
import { buildMiniVm } from "../../src/images/vm-mini.ts";
import { dependenciesOf, modulesInOrder } from "../../src/images/vm-modules.ts";

function inDirectory(use: (directory: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), "nexus-vm-image-"));
    try {
      await use(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

describe("an initial file system", () => {
  it(
    "is read back by another program as it was written",
    inDirectory((directory) => {
      const entries: CpioEntry[] = [
        { path: "a/b/file", kind: "file", mode: 0o755, content: Buffer.from("hello") },
        { path: "a/link", kind: "link", target: "b/file" },
        { path: "a/b/empty", kind: "file", mode: 0o644, content: new Uint8Array() },
      ];
      const archive = writeCpio(withParents(entries));
      execFileSync("busybox", ["cpio", "-idm"], { cwd: directory, input: archive, stdio: ["pipe", "ignore", "ignore"] });
      assert.equal(readFileSync(join(directory, "a/link"), "utf8"), "hello");
      const listed = execFileSync("busybox", ["cpio", "-tv"], { input: archive, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] });
      const modes = listed
        .trim()
        .split("\n")
        .map((line) => line.slice(0, 10));
      assert.deepEqual(modes, ["drwxr-xr-x", "drwxr-xr-x", "-rwxr-xr-x", "lrwxrwxrwx", "-rw-r--r--"]);
      assert.deepEqual(writeCpio(withParents(entries)), archive, "the same entries give the same bytes");
    }),
  );

  it("has scripts that a shell can read", () => {
    for (const [path, file] of Object.entries(miniFiles)) {
      if (file.text.startsWith("#!/bin/sh"))
        execFileSync("busybox", ["sh", "-n", "-c", file.text], { stdio: ["ignore", "ignore", "inherit"] });
      assert.ok(!path.startsWith("/"), path);
    }
  });
});

describe("an ELF file's needs", () => {
  it("are those readelf finds", () => {
    const needs = readElfNeeds(readFileSync("/bin/ls"));
    const listed = execFileSync("ldd", ["/bin/ls"], { encoding: "utf8" });
    assert.ok(needs.libraries.includes("libc.so.6"));
    for (const library of needs.libraries) assert.ok(listed.includes(library), library);
    assert.ok(listed.includes(needs.interpreter ?? "none"));
    assert.deepEqual(readElfNeeds(readFileSync("/bin/busybox")).libraries, []);
  });

  it("of any bytes are needs or a WireError", () => {
    const real = readFileSync("/bin/ls").subarray(0, 8192);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(8191), fc.nat(255)), { maxLength: 12 }), fc.nat(8192), (changes, length) => {
        const bytes = Uint8Array.from(real.subarray(0, length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          readElfNeeds(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
    );
  });
});

describe("kernel modules", () => {
  it(
    "come after those they need, each once, compressed or not; absent ones are taken to be built in",
    inDirectory((directory) => {
      const module = (name: string, depends: string) =>
        writeFileSync(join(directory, name), `ELF\0license=GPL\0depends=${depends}\0name=x\0`);
      module("top-level.ko", "middle,base");
      module("middle.ko", "base,top-level,builtin");
      module("base.ko", "");
      writeFileSync(join(directory, "packed.ko.xz"), execFileSync("xz", ["-c"], { input: "x\0depends=base\0" }));
      const ordered = modulesInOrder(directory, ["top_level", "packed", "nowhere"]);
      assert.deepEqual(
        ordered.map((one) => one.name),
        ["base", "middle", "top_level", "packed"],
      );
      assert.deepEqual(dependenciesOf(ordered[3]?.content ?? new Uint8Array()), ["base"]);
    }),
  );
});

describe("the mini virtual machine", () => {
  it(
    "says what it lacks when it cannot be built",
    inDirectory(async (directory) => {
      const lacks = (words: RegExp) => (error: unknown) =>
        error instanceof NexusError && error.code === "image-missing" && words.test(error.message);
      await assert.rejects(buildMiniVm({ directory, busybox: join(directory, "none") }), lacks(/static busybox/));
      const path = process.env["PATH"];
      process.env["PATH"] = directory;
      try {
        await assert.rejects(buildMiniVm({ directory }), lacks(/there is no apt-cache/));
      } finally {
        process.env["PATH"] = path;
      }
    }),
  );
});
