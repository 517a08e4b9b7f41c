import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Cell, cells, fits } from "./world/cells.ts";
import type { Outcome } from "./world/place.ts";
import { setBridgeNetfilter, World } from "./world/topology.ts";

describe("who reaches whom", { timeout: 120_000 }, () => {
  let world: World;
  before(async () => {
    world = await World.make();
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const bridgeNetfilter of [0, 1] as const) {
    for (const family of [4, 6] as const) {
      test(`IPv${family}, bridge-nf-call ${bridgeNetfilter}: packets do as the policy says`, async () => {
        setBridgeNetfilter(bridgeNetfilter);
        const all = cells(world, family);
        const outcomes = await Promise.all(all.map((cell) => attempt(world, cell)));
        const wrong = all.flatMap((cell, i) =>
          fits(cell.expected, outcomes[i] as Outcome)
            ? []
            : [`${cell.name}\n    expected ${JSON.stringify(cell.expected)}\n    but      ${JSON.stringify(outcomes[i])}`],
        );
        assert.equal(wrong.length, 0, `${wrong.length} of ${all.length} cells:\n${wrong.join("\n")}`);
      });
    }
  }

  for (const family of [4, 6] as const) {
    test(`IPv${family}: why says what packets do`, async () => {
      const wrong: string[] = [];
      for (const cell of cells(world, family)) {
        const to = cell.to.includes(":") ? `[${cell.to}]:${cell.port}` : `${cell.to}:${cell.port}`;
        const said = await world.daemon.client.call("why", { query: { from: cell.from, to, protocol: cell.protocol } });
        const expected = cell.why ?? (cell.expected.kind === "answer" ? "allow" : "deny");
        if (said.verdict !== expected)
          wrong.push(`${cell.name}\n    expected ${expected}\n    but      ${said.verdict}: ${said.reason} (${said.rule})`);
      }
      assert.equal(wrong.length, 0, wrong.join("\n"));
    });
  }
});

async function attempt(world: World, { from, to, port, protocol, expected }: Cell): Promise<Outcome> {
  // Silence is heard out for a second; whoever should answer may take longer on a busy machine.
  return await world
    .place(from)
    .probe({ protocol, address: to, port, patienceMs: expected.kind === "silent" || expected.kind === "denied" ? 1500 : 8000 });
}
