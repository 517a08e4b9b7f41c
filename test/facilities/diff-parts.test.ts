import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { changedFiles, wholeFiles } from "../../src/facilities/diff.ts";
import { quoted } from "../../src/facilities/import-stream.ts";
import { isGitsOwn } from "../../src/facilities/survey.ts";

describe("parts of a diff", () => {
  it("a patch that was cut ends with its last whole file", () => {
    const [one, two] = ["diff --git a/a b/a\n@@ -1 +1 @@\n-x\n+y\n", "diff --git a/b b/b\n@@ -1 +1 @@\n-x\n+y\n"];
    assert.equal(wholeFiles(Buffer.from(one + two)).toString(), one);
    assert.equal(wholeFiles(Buffer.from(`${one}diff --git a`)).toString(), one);
    assert.equal(wholeFiles(Buffer.from(one)).toString(), "");
    assert.equal(wholeFiles(Buffer.alloc(0)).toString(), "");
  });

  it("numbers of lines are read with any name there can be", () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 40 }).filter((bytes) => !bytes.includes(0));
    const count = fc.nat();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.option(fc.tuple(count, count)), name), { maxLength: 8 }), (records) => {
        const bytes = records.map(([counts, path]) =>
          Buffer.concat([Buffer.from(counts === null ? "-\t-\t" : `${counts[0]}\t${counts[1]}\t`), path, Buffer.of(0)]),
        );
        const found = changedFiles(Buffer.concat(bytes));
        assert.deepEqual(
          found.map(({ path, pathBytes, added, removed }) => [
            pathBytes === undefined ? Buffer.from(path) : Buffer.from(pathBytes, "base64"),
            added,
            removed,
          ]),
          records.map(([counts, path]) => [Buffer.from(path), counts?.[0], counts?.[1]]),
        );
      }),
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => Array.isArray(changedFiles(Buffer.from(bytes)))));
  });

  it("a name becomes one quoted word of printable characters, whatever its bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const text = quoted(Buffer.from(bytes));
        assert.match(text, /^"(?:[ !#-[\]-~]|\\[0-7]{3})*"$/);
        const back = text.slice(1, -1).replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
        assert.deepEqual(Buffer.from(back, "latin1"), Buffer.from(bytes));
      }),
    );
  });

  it("names git keeps for itself are known in every spelling", () => {
    for (const name of [
      ".git",
      ".GIT",
      "a/.git",
      ".git ",
      ".git.",
      ".git . .",
      "git~1",
      "GIT~1",
      ".git::$INDEX_ALLOCATION",
      "a\\.git",
      ".g\u200cit",
    ])
      assert.ok(isGitsOwn(Buffer.from(name)), name);
    for (const name of [".gitignore", "git", "a.git", ".gitx", "git~2", ".git/config"])
      assert.equal(isGitsOwn(Buffer.from(name)), false, name);
  });
});
