import assert from "node:assert/strict";
import { test } from "node:test";
import { groupOf, isOurGroup } from "../../src/plan/group.ts";

test("a link group says whose a link is and of which network", () => {
  assert.equal(groupOf(1), 0x4e000001);
  assert.ok(isOurGroup(groupOf(0xffffff)));
  for (const group of [0, 1, 0x4e000000, 0x4f000001]) assert.ok(!isOurGroup(group));
  for (const index of [0, 0x1000000, 1.5]) assert.throws(() => groupOf(index), RangeError);
});
