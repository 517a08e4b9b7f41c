import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { imageFor } from "../../src/cli/image-flag.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-image-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const from = { directory, home: "/home/me" };

test("a directory given as an image is absolute, however it was written", () => {
  mkdirSync(join(directory, "roots/web"), { recursive: true });
  assert.equal(imageFor("./web", from), join(directory, "web"));
  assert.equal(imageFor("../web/", from), join(directory, "../web"));
  assert.equal(imageFor(".", from), directory);
  assert.equal(imageFor("~/web", from), "/home/me/web");
  assert.equal(imageFor("roots/web", from), join(directory, "roots/web"));
  assert.equal(imageFor("/srv/web", from), "/srv/web");
});

test("anything else stays the reference it is", () => {
  mkdirSync(join(directory, "alpine"), { recursive: true });
  mkdirSync(join(directory, "team"), { recursive: true });
  writeFileSync(join(directory, "team/app"), "");
  for (const reference of ["mini", "alpine", "alpine:3.20", "team/app", "docker.io/library/alpine@sha256:12", "~web"]) {
    assert.equal(imageFor(reference, from), reference);
  }
  assert.equal(imageFor("~/web", { directory, home: undefined }), "~/web");
});
