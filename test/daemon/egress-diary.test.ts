import assert from "node:assert/strict";
import { test } from "node:test";
import type { Name } from "../../src/base/names.ts";
import type { Happening } from "../../src/daemon/chronicle.ts";
import { EgressDiary } from "../../src/daemon/egress-diary.ts";

const [web, app] = ["web" as Name, "app" as Name];

function sample() {
  const clock = { at: 0, monotonic: () => clock.at };
  const told: Happening[] = [];
  return { clock, told, diary: new EgressDiary({ tell: (happening) => told.push(happening) }, clock) };
}

test("a decision is told once in ten minutes", () => {
  const { clock, told, diary } = sample();
  for (let i = 0; i < 3; i++) diary.refused(web, "a.example");
  diary.pinned(web, "b.example", []);
  diary.refused(app, "a.example");
  assert.deepEqual(
    told.map(({ kind, subject }) => `${kind} ${subject}`),
    ["egress.refused web", "egress.allowed web", "egress.refused app"],
  );
  clock.at = 600_001;
  diary.refused(web, "a.example");
  assert.equal(told.length, 4);
});

test("one guest's names never fill the events: twenty in a minute, and the rest is one line", () => {
  const { clock, told, diary } = sample();
  for (let i = 0; i < 5000; i++) diary.refused(web, `n${i}.example`);
  diary.refused(app, "quiet.example");
  assert.equal(told.length, 21);
  clock.at = 60_000;
  diary.refused(web, "later.example");
  assert.deepEqual(
    told.slice(21).map(({ kind, message }) => [kind, message]),
    [
      ["egress.more", "4980 more egress decisions for web within a minute"],
      ["egress.refused", "web asked for later.example, which its egress policy does not allow"],
    ],
  );
});
