import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { guestFacts, visibleText } from "../../src/cli/guest-text.ts";
import type { GuestView } from "../../src/spec/views.ts";

test("what a guest said cannot steer the terminal of who inspects it", () => {
  const guest = {
    name: "web",
    state: "exited",
    restarts: 0,
    attachments: [],
    publish: [],
    createdAt: "2026-01-01T00:00:00.000Z",
    problem: "sh: \u001b[2J: not found",
    exit: {
      code: 1,
      oomKilled: false,
      at: "2026-01-01T00:00:00.000Z",
      lastLines: ["\u001b]0;owned\u0007", "a\rb", "\u202egnp.exe", "\u009b31m", "é 漢 🙂"],
    },
  } as unknown as GuestView;
  const text = guestFacts(guest);
  assert.ok(text.includes("\\x1b]0;owned\\x07") && text.includes("a\\x0db") && text.includes("\\u{202e}gnp.exe"), text);
  assert.ok(text.includes("\\x9b31m") && text.includes("sh: \\x1b[2J: not found") && text.includes("é 漢 🙂"), text);
  assert.equal(/[\p{Cc}\p{Cf}]/u.test(text.replaceAll("\n", "")), false);
});

test("no text has a control character left once it is made visible, and other text stays as it is", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(visibleText(text))));
  fc.assert(fc.property(fc.string({ unit: "grapheme-ascii" }), (text) => visibleText(text) === text));
});
