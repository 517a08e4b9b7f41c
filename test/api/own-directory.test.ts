import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { checkOwnDirectory, makeOwnDirectory, refuseUntrusted } from "../../src/api/own-directory.ts";
import { type Entry, type Untrusted, untrustedPart } from "../../src/api/trusted-path.ts";

const [me, other] = [1000, 1001];
/** Of user 1000 alone, and of several. */
const [own, staff] = [1000, 50];

type Given = Record<string, [uid: number, mode: number, gid?: number] | [uid: number, target: string] | "file">;

/** A host where / and what is given are all there is. */
function untrusted(path: string, given: Given): Untrusted | undefined {
  const look = (at: string): Entry | undefined => {
    const found = at === "/" ? (given["/"] ?? [0, 0o755]) : given[at];
    if (found === undefined) return undefined;
    if (found === "file") return { kind: "other", uid: me, gid: own, mode: 0o600 };
    const [uid, mode, gid = 0] = found;
    return typeof mode === "string" ? { kind: "link", uid, target: mode } : { kind: "directory", uid, gid, mode };
  };
  return untrustedPart(path, { uid: me, look, isTrusted: (uid) => uid === 0 || uid === me, isTrustedGroup: (gid) => gid === own });
}

describe("a path of directories that only the user, root and the program's owner may change", () => {
  const usual: [string, string, Given][] = [
    ["root's state", "/var/lib/nexus", { "/var": [0, 0o755], "/var/lib": [0, 0o755], "/var/lib/nexus": [0, 0o700] }],
    ["a home of 0755", "/home/u/.local", { "/home": [0, 0o755], "/home/u": [me, 0o755], "/home/u/.local": [me, 0o700] }],
    ["a home its own group may write", "/home/u/s", { "/home": [0, 0o755], "/home/u": [me, 0o775, own], "/home/u/s": [me, 0o775, own] }],
    ["one's own below /tmp", "/tmp/x/y", { "/tmp": [0, 0o1777], "/tmp/x": [me, 0o700] }],
    ["what is not there yet in /tmp", "/tmp/x", { "/tmp": [0, 0o1777] }],
    ["the session's", "/run/user/1000/nexus", { "/run": [0, 0o755], "/run/user": [0, 0o755], "/run/user/1000": [me, 0o700] }],
    ["a link of root", "/var/run/x", { "/var": [0, 0o755], "/var/run": [0, "../run"], "/run": [0, 0o755], "/run/x": [me, 0o700] }],
    ["an absolute link", "/s", { "/s": [me, "/data//n/."], "/data": [0, 0o755], "/data/n": [me, 0o755] }],
  ];
  for (const [what, path, given] of usual) it(`passes: ${what}`, () => assert.equal(untrusted(path, given), undefined));

  const refused: [string, string, Given, Untrusted][] = [
    [
      "another's directory",
      "/home/v/c",
      { "/home": [0, 0o755], "/home/v": [other, 0o755], "/home/v/c": [me, 0o700] },
      { path: "/home/v", problem: "belongs to user 1001, not to you (user 1000)" },
    ],
    [
      "a grandparent everybody may write",
      "/srv/a/b",
      { "/srv": [0, 0o777], "/srv/a": [me, 0o755], "/srv/a/b": [me, 0o700] },
      { path: "/srv", problem: "may be written by everybody", hint: "chmod go-w /srv" },
    ],
    [
      "one a shared group may write",
      "/srv/a",
      { "/srv": [0, 0o775, staff], "/srv/a": [me, 0o700] },
      { path: "/srv", problem: "may be written by the group 50", hint: "chmod go-w /srv" },
    ],
    ["/tmp itself", "/tmp", { "/tmp": [0, 0o1777] }, { path: "/tmp", problem: "may be written by everybody", hint: "chmod go-w /tmp" }],
    [
      "another's in /tmp",
      "/tmp/x",
      { "/tmp": [0, 0o1777], "/tmp/x": [other, 0o755] },
      { path: "/tmp/x", problem: "belongs to user 1001, not to you (user 1000)" },
    ],
    [
      "another's link",
      "/tmp/x",
      { "/tmp": [0, 0o1777], "/tmp/x": [other, "/home"], "/home": [0, 0o755] },
      { path: "/tmp/x", problem: "belongs to user 1001, not to you (user 1000)" },
    ],
    [
      "one's own link to another's",
      "/tmp/x",
      { "/tmp": [0, 0o1777], "/tmp/x": [me, "y"], "/tmp/y": [other, 0o755] },
      { path: "/tmp/y", problem: "belongs to user 1001, not to you (user 1000)" },
    ],
    ["a circle", "/a", { "/a": [me, "b"], "/b": [me, "a"] }, { path: "/a", problem: "is a link in a circle" }],
    ["a file", "/a/b", { "/a": "file" }, { path: "/a", problem: "is no directory" }],
    [
      "a root directory of another's",
      "/a",
      { "/": [other, 0o755] },
      { path: "/", problem: "belongs to user 1001, not to you (user 1000)" },
    ],
  ];
  for (const [what, path, given, told] of refused) it(`refuses: ${what}`, () => assert.deepEqual(untrusted(path, given), told));
});

describe("on this host", () => {
  const uid = process.getuid?.() ?? 0;
  const refusal = (act: () => void): NexusError => {
    try {
      act();
    } catch (error) {
      assert.ok(error instanceof NexusError && error.code === "not-permitted", String(error));
      return error;
    }
    throw new Error("it was not refused");
  };

  test("the directory of a socket is made 0700 below /tmp, and refused below what everybody may write, with what to do", () => {
    const base = mkdtempSync(join(tmpdir(), "nexus-"));
    try {
      const path = join(base, "deep", "run");
      mkdirSync(path, { recursive: true });
      chmodSync(path, 0o777);
      assert.match(refusal(() => checkOwnDirectory(path, uid)).message, /run: it may be written by everybody$/);
      makeOwnDirectory(path, uid);
      assert.equal(statSync(path).mode & 0o777, 0o700);
      checkOwnDirectory(path, uid);
      checkOwnDirectory(join(base, "not", "there"), uid);

      chmodSync(base, 0o777);
      for (const act of [checkOwnDirectory, makeOwnDirectory]) {
        const { message, hint } = refusal(() => act(path, uid));
        assert.equal(message, `the daemon's socket cannot be kept in ${base}: it may be written by everybody`);
        assert.match(hint ?? "", new RegExp(`^chmod go-w ${base}, or set XDG_RUNTIME_DIR`));
      }
      const cache = { what: "the cache", hint: "do this" };
      assert.match(refusal(() => refuseUntrusted(cache, path, uid)).message, /^the cache cannot be kept in/);
      chmodSync(base, 0o1777);
      refuseUntrusted(cache, path, uid);
      symlinkSync(path, join(base, "link"));
      refuseUntrusted(cache, join(base, "link"), uid);
      assert.match(refusal(() => checkOwnDirectory(join(base, "link"), uid)).message, /link: it is no directory/);
    } finally {
      rmSync(base, { recursive: true });
    }
  });
});
