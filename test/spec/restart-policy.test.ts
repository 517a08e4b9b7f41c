import assert from "node:assert/strict";
import { test } from "node:test";
import { restartPolicy, startsAgain } from "../../src/spec/restart-policy.ts";

test("a policy is a word, and on-failure may have a number of times", () => {
  const good = ["no", "on-failure", "on-failure:1", "on-failure:99999", "always", "unless-stopped"];
  for (const text of good) assert.equal(restartPolicy.parse(text), text);
  const bad = [
    "",
    "on-failure:",
    "on-failure:0",
    "on-failure:-1",
    "on-failure:1.5",
    "on-failure:100000",
    "on-failure:1 ",
    "always:3",
    "No",
    3,
  ];
  for (const text of bad) assert.equal(restartPolicy.safeParse(text).success, false, String(text));
});

test("what starts again, after which end and how often", () => {
  const again = (policy: string, exitCode: number, restarts = 0) => startsAgain(restartPolicy.parse(policy), { exitCode, restarts });
  assert.deepEqual([again("no", 1), again("always", 0, 1000), again("unless-stopped", 0)], [false, true, true]);
  assert.deepEqual([again("on-failure", 0), again("on-failure", 1, 1000)], [false, true]);
  assert.deepEqual([again("on-failure:3", 0), again("on-failure:3", 1, 2), again("on-failure:3", 1, 3)], [false, true, false]);
});
