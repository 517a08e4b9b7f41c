import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, test } from "node:test";
import { silentLog } from "../../src/base/log.ts";
import { FirewallKeeper } from "../../src/daemon/firewall-keeper.ts";
import { Firewall } from "../../src/kernel/firewall.ts";
import type { FirewallEvent } from "../../src/kernel/firewall-watch.ts";
import type { Desired } from "../../src/plan/plan.ts";
import type { FirewallChange } from "../../src/wire/nftables/model.ts";
import { sample } from "../plan/sample.ts";
import { assertSame, differencesOf, snapshot } from "./world/snapshot.ts";
import { until } from "./world/until.ts";

/** On a kernel whose tables have no owner, anybody may change ours. */
const mutations = [
  "flush ruleset",
  "delete table inet nexus",
  "delete table bridge nexus",
  "flush table inet nexus",
  "flush chain inet nexus forward",
  "insert rule inet nexus forward accept",
  "add rule bridge nexus from_guest drop",
  "add chain inet nexus extra",
  "add chain inet nexus extra { type filter hook forward priority 1; policy drop; }",
  "delete chain inet nexus guard",
  "chain inet nexus guard { policy drop; }",
  "flush set inet nexus nat4",
  "flush set bridge nexus mac",
  "flush map inet nexus publish4",
  "delete element inet nexus guarded4 { 10.7.0.0/24 }",
  'delete element inet nexus peers { "nx-lan" . "nx-dmz" }',
  'add element inet nexus peers { "nx-lan" . "nx-hotel" }',
  "add element inet nexus publish4 { tcp . 22 : 10.7.0.10 . 22 }",
  "add element inet nexus nat6 { 2001:db8::/32 }",
  "delete element inet nexus publish4 { tcp . 8080 }; add element inet nexus publish4 { tcp . 8080 : 10.7.0.99 . 80 }",
  "add set inet nexus extra { type ipv4_addr; }",
  "add counter inet nexus extra",
];

describe("without tables that have an owner", () => {
  const wanted = sample();
  let firewall: Firewall;
  let keeper: FirewallKeeper;
  let whole: string[];
  beforeEach(() => {
    nft("flush ruleset");
    nft("table ip foreign { chain c { type filter hook forward priority 0; }; }");
    firewall = Firewall.open({ ownership: "none" });
    keeper = new FirewallKeeper(firewall, silentLog);
    repair(keeper, wanted);
    whole = snapshot([]);
  });
  afterEach(() => firewall[Symbol.dispose]());

  for (const mutation of mutations) {
    test(`repaired in one batch: ${mutation}`, () => {
      nft(mutation);
      assert.notDeepEqual(differencesOf(snapshot([]), whole), [], "the mutation changes something");
      if (mutation === "flush ruleset") nft("table ip foreign { chain c { type filter hook forward priority 0; }; }");
      assert.equal(repair(keeper, wanted), 1);
      assertSame(snapshot([]), whole, "not as before");
      assert.deepEqual(keeper.plan(wanted), []);
    });
  }

  test("a foreign change is seen with its culprit, ours is known as ours, and either makes the next comparison a whole one or not", async () => {
    const seen: FirewallEvent[] = [];
    using _watch = firewall.watch({ changed: (event) => void seen.push(event), lost: () => assert.fail("lost") });
    const before = { ...wanted, publishes: [] };
    for (const step of keeper.planAnew(before)) if (step.kind === "firewall") keeper.apply(step, () => before);
    nft("flush set inet nexus nat4");
    await until("both are seen", () => seen.length === 2);
    assert.deepEqual(
      seen.map((e) => [e.ours, e.tables.map((t) => `${t.family} ${t.name}`)]),
      [
        [true, ["inet nexus"]],
        [false, ["inet nexus"]],
      ],
    );
    assert.equal(seen[1]?.comm, "nft");
    assert.equal(repair(keeper, before), 1);
  });

  test("a change planned on a wrong belief is compared whole instead, in one batch", () => {
    const changes: FirewallChange[] = [
      {
        kind: "delete-elements",
        family: "inet",
        table: "nexus",
        set: "publish4",
        elements: [{ key: [6, 8080], data: { values: ["10.7.0.10", 80] } }],
      },
    ];
    nft("delete element inet nexus publish4 { tcp . 8080 }");
    const after: Desired = { ...wanted, publishes: wanted.publishes.filter((p) => p.hostPort !== 8080) };
    keeper.apply({ kind: "firewall", op: "unpublish", changes, undo: [] }, () => after);
    assert.deepEqual(keeper.planAnew(after), []);
    assert.equal(
      snapshot([]).some((line) => line.includes("8080")),
      false,
    );
  });

  test("without networks there are no tables, and foreign ones stay", () => {
    repair(keeper, { ...wanted, networks: [], attachments: [], publishes: [] });
    assert.deepEqual(
      snapshot([]).filter((line) => line.startsWith("nft table")),
      ['nft table {"family":"ip","name":"foreign"}'],
    );
  });
});

/** How many steps it took. */
function repair(keeper: FirewallKeeper, wanted: Desired): number {
  keeper.distrust();
  const steps = keeper.plan(wanted);
  for (const step of steps) if (step.kind === "firewall") keeper.apply(step, () => wanted);
  return steps.length;
}

function nft(text: string): void {
  const { status, stderr } = spawnSync("nft", ["-f", "-"], { input: text.replaceAll("; add ", "\nadd "), encoding: "utf8" });
  assert.equal(status, 0, `${text}: ${stderr}`);
}
