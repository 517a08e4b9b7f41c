import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ownSshKey, ownSshKeyPath, publicKeysOf } from "../../../src/cli/ssh/own-keys.ts";

describe("a caller's keys", () => {
  const home = mkdtempSync(join(tmpdir(), "nexus-own-keys-"));
  const io = { env: { HOME: home } };
  after(() => rmSync(home, { recursive: true, force: true }));

  it("are one for each project's directory and one for all else, found again by a guest's labels", () => {
    assert.equal(ownSshKeyPath(io, {}), undefined);
    const [own, shop, other] = [ownSshKey(io), ownSshKey(io, "/p/shop"), ownSshKey(io, "/p/other")];
    assert.equal(new Set([own.publicLine, shop.publicLine, other.publicLine]).size, 3);
    assert.equal(ownSshKey(io, "/p/shop").publicLine, shop.publicLine);
    assert.equal(ownSshKeyPath(io, {}), own.privatePath);
    assert.equal(ownSshKeyPath(io, { "nexus.directory": "/p/shop" }), shop.privatePath);
    assert.equal(ownSshKeyPath(io, { "nexus.directory": "/p/unknown" }), undefined);
    assert.match(shop.publicLine, /^ssh-ed25519 \S+ added-by-nexus$/);
    assert.equal(statSync(shop.privatePath).mode & 0o777, 0o600);
    assert.ok(own.privatePath.startsWith(join(home, ".local/state/nexus/ssh/")));
  });

  it("of others are read from a file, which is not a private one", () => {
    const file = join(home, "keys");
    writeFileSync(file, "# mine\n\nssh-ed25519 AAAA me\n  ssh-rsa BBBB you\n");
    assert.deepEqual(publicKeysOf(file), ["ssh-ed25519 AAAA me", "ssh-rsa BBBB you"]);
    writeFileSync(file, "\n# none\n");
    assert.throws(() => publicKeysOf(file), /has no public key in it/);
    assert.throws(() => publicKeysOf(ownSshKey(io).privatePath), /is a private key/);
    assert.throws(() => publicKeysOf(join(home, "gone")), /there is no file/);
  });
});
