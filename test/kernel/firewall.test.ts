import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { Firewall, StaleRuleset } from "../../src/kernel/firewall.ts";
import type { FirewallEvent } from "../../src/kernel/firewall-watch.ts";
import { KernelError } from "../../src/base/errors.ts";
import { diffTable } from "../../src/plan/firewall-diff.ts";
import type { Element, FirewallChange, Table } from "../../src/wire/nftables/model.ts";
import { exampleElements, exampleTable } from "../wire/nftables/example-table.ts";

const table: Table = {
  family: "inet",
  name: "nexus",
  comment: "nexus one",
  counters: ["c1"],
  sets: [
    { name: "hosts", key: ["ifname", "ether_addr", "ipv4_addr"], interval: false },
    { name: "nets", key: ["ipv4_addr"], interval: true },
    { name: "ports", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"], interval: true },
  ],
  chains: [
    {
      name: "forward",
      base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
      rules: [
        {
          id: "nets",
          statements: [
            { kind: "in", fields: ["ip saddr"], op: "==", set: "nets" },
            { kind: "verdict", verdict: { kind: "accept" } },
          ],
        },
      ],
    },
  ],
};

function made(ownership: "owner-persist" | "none"): Firewall {
  const firewall = Firewall.open({ ownership });
  firewall.apply("make the table", [{ kind: "add-table", table }]);
  return firewall;
}

function remove(firewall: Firewall): void {
  firewall.apply("remove the table", [{ kind: "delete-table", family: "inet", name: "nexus" }]);
}

function elements(kind: "add-elements" | "delete-elements", set: string, list: Element[]): FirewallChange {
  return { kind, family: "inet", table: "nexus", set, elements: list };
}

test("a foreign flush, delete or edit leaves an owned table in place", () => {
  using firewall = made("owner-persist");
  const before = nft("list", "table", "inet", "nexus");
  nft("flush", "ruleset");
  assert.match(refusal("delete", "table", "inet", "nexus"), /Operation not permitted/);
  assert.match(refusal("add", "element", "inet", "nexus", "nets", "{ 10.0.0.0/8 }"), /Operation not permitted/);
  assert.equal(nft("list", "table", "inet", "nexus"), before);
  assert.equal(firewall.dumpTable("inet", "nexus")?.owner, firewall.portId);
  remove(firewall);
});

test("a process ended by SIGKILL leaves its table in force, and the next one takes it over", async () => {
  const child = spawn(process.execPath, [new URL("./firewall-owner.ts", import.meta.url).pathname], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  using firewall = Firewall.open();
  assert.equal(firewall.adopt("inet", "nexus"), "of-another-process");
  child.kill("SIGKILL");
  await once(child, "exit");
  const orphan = firewall.dumpTable("inet", "nexus");
  assert.deepEqual(
    [orphan?.comment, orphan?.persistent, orphan?.owner, orphan?.elements.get("a")],
    ["nexus one", true, undefined, [{ key: ["10.0.0.1"] }]],
  );
  assert.equal(firewall.adopt("inet", "nexus"), "adopted");
  assert.equal(firewall.adopt("inet", "nexus"), "ours");
  nft("flush", "ruleset");
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "a"), [{ key: ["10.0.0.1"] }]);
  firewall.apply("edit", [{ kind: "add-elements", family: "inet", table: "nexus", set: "a", elements: [{ key: ["10.0.0.2"] }] }]);
  remove(firewall);
  assert.equal(firewall.adopt("inet", "nexus"), "absent");
});

test("without ownership a foreign flush is told with process, name and table, and is not ours", async () => {
  using firewall = Firewall.open({ ownership: "none" });
  const events: FirewallEvent[] = [];
  using _watch = firewall.watch({ changed: (event) => void events.push(event), lost: () => assert.fail("events were lost") });
  firewall.apply("make the table", [{ kind: "add-table", table }]);
  assert.equal(firewall.adopt("inet", "nexus"), "without-owner");
  const child = spawnSync("nft", ["flush", "ruleset"]);
  await until(() => events.length === 2);
  const [mine, theirs] = events;
  assert.deepEqual([mine?.ours, mine?.pid, mine?.tables], [true, process.pid, [{ family: "inet", name: "nexus" }]]);
  assert.deepEqual(
    [theirs?.ours, theirs?.pid, theirs?.comm, theirs?.tables],
    [false, child.pid, "nft", [{ family: "inet", name: "nexus" }]],
  );
  assert.equal(theirs?.generation, firewall.generation());
  assert.equal(firewall.dumpTable("inet", "nexus"), undefined);
});

test("a batch for an older generation is refused as stale and changes nothing", () => {
  using firewall = made("none");
  const generation = firewall.generation();
  nft("add", "table", "ip", "other");
  assert.equal(firewall.generation(), generation + 1);
  assert.throws(
    () => firewall.apply("add a network", [elements("add-elements", "nets", [{ key: ["10.0.0.0/24"] }])], { generation }),
    StaleRuleset,
  );
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "nets"), []);
  firewall.apply("add a network", [elements("add-elements", "nets", [{ key: ["10.0.0.0/24"] }])], { generation: firewall.generation() });
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "nets"), [{ key: ["10.0.0.0/24"] }]);
  nft("flush", "ruleset");
});

test("a refusal names the operation, the change and errno, and the whole batch is undone", () => {
  using firewall = made("none");
  const good = elements("add-elements", "nets", [{ key: ["10.0.0.0/24"] }]);
  const bad = elements("delete-elements", "hosts", [{ key: ["nx0", "02:00:00:00:00:01", "10.0.0.1"] }]);
  assert.throws(
    () => firewall.apply("move web", [good, bad]),
    (error: unknown) => {
      assert.ok(error instanceof KernelError);
      assert.match(error.message, /^move web: delete 1 elements of nexus hosts, from number 1: ENOENT/);
      return true;
    },
  );
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "nets"), []);
  assert.throws(
    () =>
      firewall.apply("jump", [
        {
          kind: "add-chain",
          family: "inet",
          table: "nexus",
          chain: {
            name: "x",
            rules: [{ id: "to-nowhere", statements: [{ kind: "verdict", verdict: { kind: "jump", chain: "nowhere" } }] }],
          },
        },
      ]),
    /jump: add rule to-nowhere to nexus x: ENOENT .*expressions/,
  );
  assert.throws(
    () => firewall.apply("overlap", [elements("add-elements", "nets", [{ key: ["10.0.0.0/8"] }, { key: ["10.1.0.0/16"] }])]),
    KernelError,
  );
  nft("flush", "ruleset");
});

test("intervals that touch, and those that reach the end, are read back as written and go one by one", () => {
  using firewall = made("none");
  const nets: Element[] = [
    { key: ["0.0.0.0/8"] },
    { key: ["10.0.0.0/24"], comment: "one" },
    { key: ["10.0.1.0/24"] },
    { key: [{ from: "10.0.2.0", to: "10.0.2.9" }] },
    { key: ["240.0.0.0/4"] },
  ];
  for (const net of nets.toReversed()) firewall.apply("add", [elements("add-elements", "nets", [net])]);
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "nets"), nets);
  for (const [i, net] of nets.entries()) {
    firewall.apply("delete", [elements("delete-elements", "nets", [net])]);
    assert.deepEqual(firewall.dumpElements("inet", "nexus", "nets"), nets.slice(i + 1));
  }
  nft("flush", "ruleset");
});

test("a key comes back with other data in the same batch", () => {
  using firewall = made("none");
  const to = (address: string): Element => ({ key: ["tcp", { from: 80, to: 90 }], data: { values: [address, 8080] } });
  firewall.apply("publish", [elements("add-elements", "ports", [to("10.0.0.1")])]);
  firewall.apply("publish elsewhere", [
    elements("delete-elements", "ports", [to("10.0.0.1")]),
    elements("add-elements", "ports", [to("10.0.0.2")]),
  ]);
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "ports"), [
    { key: [6, { from: 80, to: 90 }], data: { values: ["10.0.0.2", 8080] } },
  ]);
  nft("flush", "ruleset");
});

test("60,000 elements go in as one change, and 10,000 additions and removals leave none behind", () => {
  using firewall = made("none");
  const many = Array.from({ length: 60_000 }, (_, i): Element => ({
    key: [`nx${i}`, "02:00:00:00:00:01", `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
  }));
  const before = firewall.generation();
  firewall.apply("fill", [elements("add-elements", "hosts", many)]);
  assert.equal(firewall.generation(), before + 1);
  assert.equal(firewall.dumpElements("inet", "nexus", "hosts")?.length, 60_000);
  firewall.apply("empty", [elements("delete-elements", "hosts", many)]);
  for (const element of many.slice(0, 10_000)) {
    firewall.apply("add", [elements("add-elements", "hosts", [element])]);
    firewall.apply("delete", [elements("delete-elements", "hosts", [element])]);
  }
  assert.deepEqual(firewall.dumpElements("inet", "nexus", "hosts"), []);
  nft("flush", "ruleset");
});

test("the difference of a table with itself is nothing, and applying a difference makes it nothing", () => {
  using firewall = Firewall.open({ ownership: "none" });
  const settle = (desired: Table, wanted: ReadonlyMap<string, Element[]>): FirewallChange["kind"][] => {
    const changes = diffTable(desired, wanted, firewall.dumpTable(desired.family, desired.name));
    firewall.apply("settle", changes);
    assert.deepEqual(diffTable(desired, wanted, firewall.dumpTable(desired.family, desired.name)), []);
    return changes.map(({ kind }) => kind);
  };
  assert.equal(settle(exampleTable, exampleElements)[0], "add-table");
  const other = new Map(exampleElements);
  other.set("zone", [{ key: ["nxB"], data: { verdict: { kind: "accept" } } }]);
  other.set("cnt", [{ key: ["nxC"], data: { counter: "cC" } }]);
  assert.deepEqual(settle({ ...exampleTable, counters: ["cC"] }, other), [
    "add-counters",
    "delete-elements",
    "delete-elements",
    "add-elements",
    "add-elements",
    "delete-counters",
  ]);
  const chains = exampleTable.chains.map((chain) => ({ ...chain, rules: chain.rules.slice(0, 1) }));
  assert.deepEqual(settle({ ...exampleTable, chains }, exampleElements).slice(0, 2), ["delete-table", "add-table"]);
  nft("flush", "ruleset");
});

test("named counters are read with what they counted", () => {
  using firewall = Firewall.open({ ownership: "none" });
  const counting: Table = {
    ...table,
    chains: [
      {
        name: "out",
        base: { type: "filter", hook: "output", priority: 0, policy: "accept" },
        rules: [{ id: "count", statements: [{ kind: "count-named", counter: "c1" }] }],
      },
    ],
  };
  firewall.apply("count", [{ kind: "add-table", table: counting }]);
  assert.deepEqual(firewall.readCounters("inet", "nexus").get("c1"), { packets: 0n, bytes: 0n });
  execFileSync("ip", ["link", "set", "lo", "up"]);
  spawnSync("bash", ["-c", "echo x > /dev/udp/127.0.0.1/9"]);
  const counted = firewall.readCounters("inet", "nexus").get("c1");
  assert.ok(
    counted !== undefined && counted.packets > 0n && counted.bytes > 20n,
    JSON.stringify(counted, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value)),
  );
  nft("flush", "ruleset");
});

test("the base chains of others are found with their policy, their last word and the product's name", () => {
  using firewall = made("none");
  nftFile(`table ip filter {
    chain DOCKER-USER { }
    chain ufw-before-forward { }
    chain FORWARD { type filter hook forward priority 0; policy drop;
      jump DOCKER-USER
    }
  }
  table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority 10; policy accept;
      ct state established accept
      counter reject with icmpx admin-prohibited
    }
  }
  table inet mine {
    chain last { type filter hook input priority 0; policy accept;
      iifname "lo" drop
    }
    chain strict { type filter hook output priority 5; policy accept;
      counter drop
    }
  }`);
  const found = new Map(firewall.listBaseChains().map((chain) => [`${chain.family} ${chain.table} ${chain.name}`, chain]));
  const says = (key: string) => {
    const chain = found.get(key);
    return [chain?.hook, chain?.priority, chain?.policy, chain?.end, chain?.products];
  };
  assert.deepEqual(says("ip filter FORWARD"), ["forward", 0, "drop", undefined, ["Docker", "ufw"]]);
  assert.deepEqual(says("inet firewalld filter_FORWARD"), ["forward", 10, "accept", "reject", ["firewalld"]]);
  assert.deepEqual(says("inet mine last"), ["input", 0, "accept", undefined, []]);
  assert.deepEqual(says("inet mine strict"), ["output", 5, "accept", "drop", []]);
  assert.deepEqual(says("inet nexus forward"), ["forward", 0, "accept", undefined, []]);
  nft("flush", "ruleset");
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(5000);
  while (!holds()) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function nft(...words: string[]): string {
  return execFileSync("nft", words, { encoding: "utf8" });
}

function nftFile(text: string): void {
  execFileSync("nft", ["-f", "-"], { input: text });
}

function refusal(...words: string[]): string {
  const { status, stderr } = spawnSync("nft", words, { encoding: "utf8" });
  assert.notEqual(status, 0);
  return stderr;
}
