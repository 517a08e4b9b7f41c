import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { imageReference } from "../../src/api/image-reference.ts";
import { parseReference } from "../../src/images/reference.ts";

const accepted = (text: string) => imageReference.safeParse(text).success;

test("what is plainly no reference is refused at the door", () => {
  for (const text of [
    "",
    "Alpine",
    "a//b",
    "a:",
    "a b",
    "-a",
    "a..b",
    "http://x/y",
    "a/../b",
    "reg.org/",
    "a:b:c",
    "a@sha256:12",
    "./dir",
    "/dir",
  ]) {
    assert.equal(accepted(text), false, text);
  }
});

test("the door refuses nothing that the image store would read", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const pieces = [
    "alpine",
    "team",
    "a",
    "Reg-1",
    "1.2",
    "localhost",
    "[::1]",
    ":5000",
    ":3.20",
    "/",
    "/",
    ".",
    "__",
    "-",
    "@",
    `@${digest}`,
    "A",
  ];
  let read = 0;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 7 }), (parts) => {
      const text = parts.join("");
      try {
        parseReference(text);
      } catch {
        return;
      }
      read++;
      assert.ok(accepted(text), text);
    }),
    { numRuns: 5000 },
  );
  assert.ok(read > 200, `${read} were readable`);
});
