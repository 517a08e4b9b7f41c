import assert from "node:assert/strict";
import { matchesGlob } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { makeMatcher } from "../../src/facilities/glob.ts";

const meant = (pattern: string, ...paths: string[]) => paths.filter(makeMatcher(pattern));

describe("patterns of artifacts", () => {
  it("have stars within one name and two of them for any directories", () => {
    const paths = ["a.log", "dist/a.js", "dist/x/b.js", "x/dist/c.js", ".hidden.log", "a.logs"];
    assert.deepEqual(meant("*.log", ...paths), ["a.log", ".hidden.log"]);
    assert.deepEqual(meant("**/*.js", ...paths), ["dist/a.js", "dist/x/b.js", "x/dist/c.js"]);
    assert.deepEqual(meant("dist/**/*.js", ...paths), ["dist/a.js", "dist/x/b.js"]);
    assert.deepEqual(meant("**", ...paths), paths);
    assert.deepEqual(meant("/dist/*.js", ...paths), ["dist/a.js"]);
  });

  it("that mean a directory mean what is in it", () => {
    for (const pattern of ["dist", "dist/", "./dist", "dist/**", "d?st", "d[a-k]st"])
      assert.deepEqual(meant(pattern, "dist/a", "dist/x/b", "dis/c", "distant"), ["dist/a", "dist/x/b"], pattern);
    assert.deepEqual(meant(".", "a", "b/c"), ["a", "b/c"]);
  });

  it("have sets of characters; what is no set is itself", () => {
    assert.deepEqual(meant("[ab]?", "a1", "b2", "c3", "a"), ["a1", "b2"]);
    assert.deepEqual(meant("[!a-c]", "a", "d"), ["d"]);
    assert.deepEqual(meant("[]x]", "]", "x", "y"), ["]", "x"]);
    assert.deepEqual(meant("[a", "[a", "a"), ["[a"]);
    assert.deepEqual(meant("a.b(c)+", "a.b(c)+", "aab(c)+"), ["a.b(c)+"]);
    assert.deepEqual(meant("?", "ü", "\u{1f600}", "ab"), ["ü", "\u{1f600}"]);
    assert.deepEqual(meant("*", "new\nline", "-rf"), ["new\nline", "-rf"]);
  });

  it("agree with another matcher on what both know", () => {
    const part = fc.stringMatching(/^[ab*?]{1,4}$/).filter((text) => !text.includes("**"));
    const pattern = fc.array(fc.oneof({ arbitrary: part, weight: 3 }, fc.constant("**")), { minLength: 1, maxLength: 4 });
    const path = fc.array(fc.stringMatching(/^[ab]{1,4}$/), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(pattern, path, (parts, names) => {
        // A last name that is no `**`, and a path of which no part is meant for a directory above.
        const text = [...parts, "z"].join("/");
        const file = [...names, "z"].join("/");
        assert.equal(makeMatcher(text)(file), matchesGlob(file, text), `${text} on ${file}`);
      }),
    );
  });

  it("take no time to speak of, however many stars they have", () => {
    const since = performance.now();
    assert.equal(makeMatcher("*a".repeat(300))("a".repeat(250)), false);
    assert.equal(makeMatcher(`${"**/a/".repeat(100)}b`)("a/".repeat(200)), false);
    assert.ok(performance.now() - since < 2000);
  });
});
