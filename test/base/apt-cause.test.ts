import assert from "node:assert/strict";
import { test } from "node:test";
import { aptCause } from "../../src/base/apt-cause.ts";

test("of apt's words the cause is told, not what follows from it", () => {
  const offline = `Ign:1 http://deb.invalid/debian bookworm InRelease
Err:1 http://deb.invalid/debian bookworm InRelease
  Temporary failure resolving 'deb.invalid'
Reading package lists...
W: Failed to fetch http://deb.invalid/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.invalid'
W: Some index files failed to download. They have been ignored, or old ones used instead.
E: Unable to locate package crun
`;
  const cause = "Failed to fetch http://deb.invalid/debian/dists/bookworm/InRelease Temporary failure resolving 'deb.invalid'";
  assert.equal(aptCause(offline), cause);
  assert.equal(
    aptCause("W: Download is performed unsandboxed\nE: Unable to locate package crun\nE: more\n"),
    "Unable to locate package crun",
  );
  assert.equal(
    aptCause("dpkg-deb: error: 'x.deb' is not a Debian format archive\n"),
    "dpkg-deb: error: 'x.deb' is not a Debian format archive",
  );
  assert.equal(aptCause("first\nlast\n"), "last");
  assert.equal(aptCause(" \n"), "it said nothing");
});
