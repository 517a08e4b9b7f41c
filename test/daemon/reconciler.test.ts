import assert from "node:assert/strict";
import { test } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import type { Chronicle } from "../../src/daemon/chronicle.ts";
import { Reconciler } from "../../src/daemon/reconciler.ts";
import type { Wiring } from "../../src/daemon/wiring.ts";

test("a request is told why its reconcile failed, and with success what was done", async () => {
  let refusal: Error | undefined = new NexusError("unsupported", "no such table");
  const said: unknown[] = [];
  await using reconciler = new Reconciler({
    wiring: {
      inspect: async () => {
        if (refusal !== undefined) throw refusal;
        return {};
      },
      settle: () => ({ done: ["ip link add x"], leftovers: [] }),
      sweep: async () => ["ip link del y"],
    } as unknown as Wiring,
    chronicle: { tell() {} } as unknown as Chronicle,
    log: { error: (fields: unknown) => said.push(fields) } as never,
    alongside: async () => undefined,
  });
  await assert.rejects(reconciler.run("a request"), (error: NexusError) => {
    assert.equal(error.code, "unsupported");
    assert.equal(error.message, "the reconcile after a request failed: no such table");
    return /again within 30 s/.test(error.hint ?? "");
  });
  assert.equal(said.length, 1);
  refusal = undefined;
  assert.deepEqual(await reconciler.run("a request"), ["ip link add x", "ip link del y"]);
});
