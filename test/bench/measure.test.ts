import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inParallel, interleave, median, percentile, rounded, until } from "../../bench/measure.ts";

test("a percentile is the nearest sample that so many are not above", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(percentile(hundred, 0.5), 50);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile([7], 0.99), 7);
  assert.throws(() => percentile([], 0.5), RangeError);
});

test("the median of an even number of samples lies between the middle two", () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (samples) => {
      const middle = median(samples);
      assert.ok(samples.filter((one) => one < middle).length <= samples.length / 2);
      assert.ok(samples.filter((one) => one > middle).length <= samples.length / 2);
    }),
  );
});

test("contestants take turns, each goes first equally often, and warm-up rounds do not count", async () => {
  const order: string[] = [];
  const enter = (name: string) => async () => {
    order.push(name);
    return order.length;
  };
  const samples = await interleave({ a: enter("a"), b: enter("b") }, { warmup: 1, measured: 2 });
  assert.deepEqual(order, ["a", "b", "b", "a", "a", "b"]);
  assert.deepEqual(samples, { a: [4, 5], b: [3, 6] });
});

test("no more than the allowed number of items are worked on at once, and every one is", async () => {
  let now = 0;
  let most = 0;
  const seen: number[] = [];
  await inParallel([1, 2, 3, 4, 5, 6], 2, async (item) => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(item);
    now--;
  });
  assert.equal(most, 2);
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
});

test("waiting has a deadline and names what was awaited", async () => {
  await until(
    "the third try",
    1000,
    (
      (tries) => () =>
        ++tries === 3
    )(0),
  );
  await assert.rejects(
    until("the impossible", 10, () => false),
    /the impossible did not happen within 10 ms/,
  );
});

test("figures keep three significant places", () => {
  assert.deepEqual([rounded(0.123456), rounded(12.345), rounded(60123.4)], [0.123, 12.3, 60120]);
});
