import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import { silentLog } from "../../src/base/log.ts";
import { FirewallKeeper } from "../../src/daemon/firewall-keeper.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Port } from "../../src/base/port.ts";
import { Firewall } from "../../src/kernel/firewall.ts";
import { diffTable } from "../../src/plan/firewall-diff.ts";
import { pinChanges, pinSlackMs, pinsOf } from "../../src/plan/firewall/pins.ts";
import { ruleset } from "../../src/plan/firewall/ruleset.ts";
import type { PinRecord } from "../../src/plan/records.ts";
import { desired, network } from "../plan/sample.ts";
import { until } from "./world/until.ts";

const lan = network(1, "lan", { subnets: ["10.7.0.0/24"] });

function pin(leftMs: number, more: Partial<PinRecord> = {}): PinRecord {
  return { source: "10.7.0.10" as Ip, address: "93.184.1.1" as Ip, port: 443 as Port, names: ["a.example"], leftMs, ...more };
}

function open(pins: PinRecord[]): Firewall {
  const firewall = Firewall.open();
  const { tables, elements } = ruleset(desired({ networks: [lan], pins }));
  const [inet] = tables;
  assert.ok(inet);
  if (firewall.dumpTable("inet", "nexus") !== undefined) firewall.apply("clear", [{ kind: "delete-table", family: "inet", name: "nexus" }]);
  firewall.apply(
    "build",
    diffTable(inet, new Map(inet.sets.map((set) => [set.name, elements.get(`inet nexus ${set.name}`) ?? []])), undefined),
  );
  return firewall;
}

const held = (firewall: Firewall) => pinsOf(firewall.dumpElements("inet", "nexus", "pinned4") ?? []);

describe("pins in the kernel", () => {
  test("end by themselves", async () => {
    using firewall = open([pin(300), pin(60_000, { port: 80 as Port })]);
    assert.equal(held(firewall).length, 2);
    await until("it is gone", () => held(firewall).length === 1);
    assert.deepEqual(
      held(firewall).map(({ port, names }) => [port, names]),
      [[80, ["a.example"]]],
    );
  });

  test("are renewed whether they are there, about to go, or gone a moment ago", async () => {
    using firewall = open([]);
    const later = pin(60_000, { names: ["a.example", "b.example"] });
    for (const lifeMs of [60_000, pinSlackMs - 1, 40, 1]) {
      firewall.apply("pin", pinChanges([{ was: undefined, now: pin(lifeMs) }]));
      if (lifeMs < 1000) await until("it is gone", () => held(firewall).length === 0);
      firewall.apply("renew", pinChanges([{ was: pin(lifeMs < 1000 ? 0 : lifeMs), now: later }]));
      const [now, ...more] = held(firewall);
      assert.deepEqual([now?.names, more], [later.names, []]);
      assert.ok((now?.leftMs ?? 0) > 50_000, `${now?.leftMs}`);
      firewall.apply("unpin", pinChanges([{ was: later, now: undefined }]));
      assert.deepEqual(held(firewall), []);
    }
  });

  test("are no difference while they end, and one where they outlive what they were meant for", () => {
    using firewall = open([pin(60_000)]);
    const differences = (pins: PinRecord[]) => {
      const { tables, elements } = ruleset(desired({ networks: [lan], pins }));
      const [inet] = tables;
      assert.ok(inet);
      const wanted = new Map(inet.sets.map((set) => [set.name, elements.get(`inet nexus ${set.name}`) ?? []]));
      return diffTable(inet, wanted, firewall.dumpTable("inet", "nexus")).map(({ kind }) => kind);
    };
    assert.deepEqual(differences([pin(59_500)]), []);
    assert.deepEqual(differences([pin(60_000), pin(1000, { port: 80 as Port })]), [], "one about to end is not put back");
    assert.deepEqual(differences([pin(60_000), pin(30_000, { port: 80 as Port })]), ["add-elements"]);
    assert.deepEqual(differences([]), ["delete-elements"]);
    assert.deepEqual(differences([pin(20_000)]), ["delete-elements", "add-elements"]);
    assert.deepEqual(differences([pin(60_000, { names: ["b.example"] })]), ["delete-elements", "add-elements"]);
  });

  test("names that do not fit beside an element are left out there, whole ones only", () => {
    const names = Array.from({ length: 9 }, (_, i) => `${String(i).repeat(40)}.example`);
    using firewall = open([pin(60_000, { names })]);
    assert.deepEqual(held(firewall)[0]?.names, names.slice(0, 5));
    const ofLength = (last: number) => `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(last)}`;
    for (const [port, last, told] of [
      [80, 59, 1],
      [81, 60, 0],
      [82, 61, 0],
    ] as const) {
      firewall.apply("pin", pinChanges([{ was: undefined, now: pin(60_000, { port: port as Port, names: [ofLength(last)] }) }]));
      assert.deepEqual(held(firewall).find((one) => one.port === port)?.names, [ofLength(last)].slice(0, told));
    }
  });

  test("that somebody flushed, where tables have no owner, come back with the time they had left", () => {
    using firewall = Firewall.open({ ownership: "none" });
    firewall.apply("clear", [{ kind: "delete-table", family: "inet", name: "nexus" }]);
    const keeper = new FirewallKeeper(firewall, silentLog);
    const wanted = desired({ networks: [lan], pins: [pin(50_000), pin(pinSlackMs - 1, { port: 80 as Port })] });
    const repair = () => {
      const steps = keeper.plan(wanted);
      for (const step of steps) if (step.kind === "firewall") keeper.apply(step, () => wanted);
      return steps.length;
    };
    repair();
    for (const mutation of [
      "flush ruleset",
      "flush set inet nexus pinned4",
      "add element inet nexus pinned4 { 10.7.0.10 . tcp . 1.2.3.4 . 80 timeout 1h }",
    ]) {
      execFileSync("nft", [mutation]);
      assert.equal(repair(), 1, mutation);
      const kept = held(firewall).filter(({ port }) => port === 443);
      assert.deepEqual(
        kept.map(({ address, names }) => [address, names]),
        [["93.184.1.1", ["a.example"]]],
      );
      assert.ok(kept.every(({ leftMs }) => leftMs > 45_000 && leftMs <= 50_000));
      assert.ok(!held(firewall).some(({ address }) => (address as string) === "1.2.3.4"), mutation);
      assert.equal(repair(), 0, mutation);
    }
  });
});
