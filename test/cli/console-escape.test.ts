import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Escape } from "../../src/cli/verbs/vm-console.ts";

/** What a guest gets of typed text that comes in these pieces, and whether the console was left. */
function typed(...pieces: string[]): { text: string; leaves: boolean } {
  const escape = new Escape();
  let text = "";
  for (const piece of pieces) {
    const { bytes, leaves } = escape.take(Buffer.from(piece, "latin1"));
    text += bytes.toString("latin1");
    if (leaves) return { text, leaves };
  }
  return { text, leaves: false };
}

describe("the escape of a console", () => {
  test("is ~. at the beginning of a line, the first one too, after either end of a line", () => {
    for (const before of ["", "ls\r", "ls\n", "\r", "~x\r", "~\r"])
      assert.equal(typed(`${before}~.rest`).leaves, true, JSON.stringify(before));
    assert.deepEqual(typed("ls\r~.rest"), { text: "ls\r", leaves: true });
  });

  test("is nothing within a line, and ~~ stands for one ~", () => {
    assert.deepEqual(typed("a~.b"), { text: "a~.b", leaves: false });
    assert.deepEqual(typed("~~.\r~~"), { text: "~.\r~", leaves: false });
    assert.deepEqual(typed("~a\r~ ."), { text: "~a\r~ .", leaves: false });
  });

  const keys = fc.string({ unit: fc.constantFrom("~", ".", "\r", "\n", "a", "\xff"), maxLength: 30 });

  test("is the same however the text is cut into pieces", () => {
    fc.assert(
      fc.property(keys, fc.array(fc.nat(30)), (text, cuts) => {
        const ends = [...new Set([0, ...cuts.filter((cut) => cut < text.length), text.length])].toSorted((a, b) => a - b);
        assert.deepEqual(typed(...ends.slice(1).map((end, i) => text.slice(ends[i], end))), typed(text));
      }),
    );
  });

  test("is the only thing that a guest does not get, but for the ~ that was doubled and one that is not followed by anything yet", () => {
    fc.assert(
      fc.property(keys, (text) => {
        const end = /^(?:|[^]*[\r\n])~\./.exec(text.replaceAll(/(^|[\r\n])~~/g, "$1aa"));
        const { text: got, leaves } = typed(text);
        assert.equal(leaves, end !== null);
        const sent = text.replaceAll(/(^|[\r\n])~~/g, "$1~");
        assert.ok(leaves ? sent.startsWith(got) : sent === got || sent === `${got}~`, JSON.stringify([text, got]));
      }),
    );
  });
});
