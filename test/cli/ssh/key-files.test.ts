import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { KernelError, NexusError, WireError } from "../../../src/base/errors.ts";
import { formatPrivateKey, readPrivateKey } from "../../../src/cli/ssh/openssh-key.ts";
import { ensureSshKey } from "../../../src/cli/ssh/key-files.ts";

describe("a project's SSH key", () => {
  let directory: string;
  beforeEach((t) => {
    directory = mkdtempSync(join(tmpdir(), "nexus-ssh-"));
    (t as unknown as { after(f: () => void): void }).after?.(() => rmSync(directory, { recursive: true, force: true }));
  });

  it("is one that OpenSSH reads, with the public half it says", () => {
    const key = ensureSshKey(join(directory, "ssh"), "nexus web");
    const derived = execFileSync("ssh-keygen", ["-y", "-P", "", "-f", key.privatePath], { encoding: "utf8" }).trim();
    assert.equal(derived, key.publicLine);
    assert.match(key.publicLine, /^ssh-ed25519 AAAAC3Nza\S+ nexus web$/);
    assert.equal(readFileSync(key.publicPath, "utf8"), `${key.publicLine}\n`);
    writeFileSync(join(directory, "m"), "message");
    execFileSync("ssh-keygen", ["-q", "-Y", "sign", "-n", "file", "-f", key.privatePath, join(directory, "m")], { stdio: "ignore" });
    execFileSync("ssh-keygen", ["-Y", "check-novalidate", "-n", "file", "-s", join(directory, "m.sig")], {
      input: "message",
      stdio: ["pipe", "ignore", "ignore"],
    });
    assert.equal(statSync(key.privatePath).mode & 0o777, 0o600);
    assert.equal(statSync(join(directory, "ssh")).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(join(directory, "ssh")).toSorted(), ["id_ed25519", "id_ed25519.pub"]);
  });

  it("stays the same, and is mended where that is possible", () => {
    const key = ensureSshKey(directory, "a");
    assert.deepEqual(ensureSshKey(directory, "another comment"), key);
    rmSync(key.publicPath);
    chmodSync(key.privatePath, 0o644);
    assert.deepEqual(ensureSshKey(directory, "a"), key);
    assert.equal(readFileSync(key.publicPath, "utf8"), `${key.publicLine}\n`);
    assert.equal(statSync(key.privatePath).mode & 0o777, 0o600);
  });

  it("may be one that ssh-keygen made", () => {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", join(directory, "id_ed25519")]);
    const before = readFileSync(join(directory, "id_ed25519.pub"), "utf8");
    assert.equal(`${ensureSshKey(directory, "other").publicLine}\n`, before);
  });

  it("is not replaced when it is damaged, has a passphrase, or is of another kind", () => {
    const corrupt = (words: RegExp) => (error: unknown) =>
      error instanceof NexusError && error.code === "state-corrupt" && words.test(error.message) && /remove it/.test(error.hint ?? "");
    const path = join(directory, "id_ed25519");
    writeFileSync(path, "not a key");
    assert.throws(() => ensureSshKey(directory, ""), corrupt(/no OpenSSH private key/));
    assert.equal(readFileSync(path, "utf8"), "not a key");
    for (const [args, words] of [
      [["-t", "ed25519", "-N", "secret"], /passphrase/],
      [["-t", "ecdsa", "-N", ""], /another kind/],
    ] as const) {
      rmSync(path, { force: true });
      execFileSync("ssh-keygen", ["-q", ...args, "-f", path]);
      assert.throws(() => ensureSshKey(directory, ""), corrupt(words));
    }
    rmSync(path);
    symlinkSync("/dev/null", path);
    assert.throws(
      () => ensureSshKey(directory, ""),
      (error) => error instanceof KernelError && error.errno === "ELOOP",
    );
  });

  it("is the same for processes that want it at once", async () => {
    const program = `import { ensureSshKey } from ${JSON.stringify(join(import.meta.dirname, "../../../src/cli/ssh/key-files.ts"))};
      console.log(ensureSshKey(${JSON.stringify(directory)}, "x").publicLine);`;
    const said = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
        const text = child.stdout.setEncoding("utf8").toArray();
        await once(child, "close");
        return (await text).join("");
      }),
    );
    assert.equal(new Set(said).size, 1, said.join());
    assert.match(said[0] ?? "", /^ssh-ed25519 /);
    assert.deepEqual(readdirSync(directory).toSorted(), ["id_ed25519", "id_ed25519.pub"]);
  });

  it("is read back, or a WireError, whatever was done to it", () => {
    const key = readPrivateKey(readFileSync(ensureSshKey(directory, "c").privatePath, "utf8"));
    const body = Buffer.from(formatPrivateKey(key).split("\n").slice(1, -2).join(""), "base64");
    const wrap = (bytes: Uint8Array): string =>
      `-----BEGIN OPENSSH PRIVATE KEY-----\n${Buffer.from(bytes).toString("base64")}\n-----END OPENSSH PRIVATE KEY-----\n`;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(body.length), (changes, length) => {
        const bytes = Buffer.from(body.subarray(0, length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          assert.deepEqual(readPrivateKey(wrap(bytes)).seed, key.seed);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
    );
  });
});
