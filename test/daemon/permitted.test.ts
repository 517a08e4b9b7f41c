import assert from "node:assert/strict";
import { it } from "node:test";
import type { Handlers } from "../../src/api/contract.ts";
import { type OperationId, operations } from "../../src/api/operations.ts";
import type { NexusError } from "../../src/base/errors.ts";
import { NoNetworks } from "../../src/daemon/no-networks.ts";
import { permitted } from "../../src/daemon/permitted.ts";

it("every operation about networks, nodes and attachments is refused where there can be none, and no other", async () => {
  const ids = Object.keys(operations) as OperationId[];
  const handlers = Object.fromEntries(ids.map((id) => [id, async () => id])) as unknown as Handlers;
  const guarded = permitted(handlers, new NoNetworks(1000)) as unknown as Record<OperationId, () => Promise<string>>;
  const refused: string[] = [];
  for (const id of ids) {
    try {
      assert.equal(await guarded[id](), id);
    } catch (error) {
      assert.equal((error as NexusError).code, "not-permitted");
      assert.match((error as NexusError).hint ?? "", /sudo.*group nexus/);
      refused.push(id);
    }
  }
  const words = new Set(refused.map((id) => id.split(".")[0]));
  assert.deepEqual(words, new Set(["attachment", "network", "node", "plan", "reconcile", "why"]));
  assert.deepEqual(
    ids.filter((id) => /network|node|attach|plan|reconcile|why/.test(id) && !refused.includes(id)),
    [],
  );
});
