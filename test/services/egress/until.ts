import assert from "node:assert/strict";

/** Asks until the answer is yes; fails after ten seconds. */
export async function until(done: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !done();) {
    assert.ok(performance.now() < end, "it did not happen within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
