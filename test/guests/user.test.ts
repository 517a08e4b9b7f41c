import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { resolveUser } from "../../src/guests/oci-user.ts";
import { resolveInside } from "../../src/kernel/inside.ts";

function rootWith(t: TestContext, files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "nexus-root-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, "etc"));
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
  return root;
}

const tables = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100:App:/srv/app:/bin/sh\n",
  "etc/group": "root:x:0:\nusers:x:100:\nlog:x:44:app,other\nadm:x:4:other\n",
};

test("names, numbers and groups come from the image's own tables", (t) => {
  const root = rootWith(t, tables);
  assert.deepEqual(resolveUser(root, ""), { uid: 0, gid: 0, additionalGids: [], home: "/root" });
  assert.deepEqual(resolveUser(root, "app"), { uid: 1000, gid: 100, additionalGids: [44], home: "/srv/app" });
  assert.deepEqual(resolveUser(root, "1000"), { uid: 1000, gid: 100, additionalGids: [44], home: "/srv/app" });
  assert.deepEqual(resolveUser(root, "app:log"), { uid: 1000, gid: 44, additionalGids: [], home: "/srv/app" });
  assert.deepEqual(resolveUser(root, "77:88"), { uid: 77, gid: 88, additionalGids: [], home: "/" });
});

test("an image without tables runs as numbers, and a name is an error that names it", (t) => {
  const root = rootWith(t, {});
  assert.deepEqual(resolveUser(root, ""), { uid: 0, gid: 0, additionalGids: [], home: "/" });
  for (const text of ["ghost", "0:ghosts"])
    assert.throws(
      () => resolveUser(root, text),
      (error) => error instanceof NexusError && /ghost/.test(error.message),
    );
});

test("a passwd that is a link to the host's is not followed out of the image", (t) => {
  const root = rootWith(t, {});
  symlinkSync("/etc/passwd", join(root, "etc/passwd"));
  assert.equal(resolveUser(root, "").home, "/");
  symlinkSync("../../../../../../etc", join(root, "up"));
  assert.equal(resolveInside(root, "/up/group")?.path, join(root, "etc/group"));
  symlinkSync("loop", join(root, "loop"));
  assert.equal(resolveInside(root, "/loop/x"), undefined);
});
