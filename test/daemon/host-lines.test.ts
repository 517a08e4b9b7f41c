import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesNamed, hostLines } from "../../src/daemon/hosts-file.ts";
import type { World } from "../../src/daemon/world.ts";

test("labels add a name only when they are names: no line of anybody's making gets into the file", () => {
  const labelled = (labels: Record<string, string>): World => {
    const guest = { kind: "container", name: "web", spec: { labels }, leases: [{ network: "lan", address: "10.0.0.2" }] };
    return { live: new Set(["web"]), guests: new Map([["web", guest]]) } as unknown as World;
  };
  const names = (labels: Record<string, string>) => hostLines(labelled(labels), "nexus").flatMap((line) => line.names);
  assert.deepEqual(names({ "nexus.service": "web", "nexus.project": "shop" }), ["web.lan.nexus", "web.shop.nexus"]);
  for (const word of ["x\n192.0.2.9 example.org\n#", "a b", "a.b", "", "#"]) {
    assert.deepEqual(names({ "nexus.service": word, "nexus.project": "shop" }), ["web.lan.nexus"]);
    assert.deepEqual(names({ "nexus.service": "web", "nexus.project": word }), ["web.lan.nexus"]);
  }
});

test("a guest's addresses are found by each of its names, while it runs, and by no other name", () => {
  const lease = (network: string, address: string) => ({ network, address });
  const guests = [
    {
      kind: "container",
      name: "shop-db",
      spec: { labels: { "nexus.service": "db", "nexus.project": "shop" } },
      leases: [lease("back", "10.0.0.2"), lease("front", "10.0.1.2")],
    },
    { kind: "netns", name: "bare", spec: {}, leases: [lease("back", "10.0.0.3")] },
    { kind: "container", name: "off", spec: { labels: {} }, leases: [lease("back", "10.0.0.4")] },
  ];
  const world = {
    live: new Set(["shop-db", "bare"]),
    guests: new Map(guests.map((guest) => [guest.name, guest])),
  } as unknown as World;
  const found = (name: string, domain = "nexus") => addressesNamed(world, domain, name);
  assert.deepEqual(found("db.shop.nexus"), ["10.0.0.2", "10.0.1.2"]);
  assert.deepEqual(found("shop-db.back.nexus"), ["10.0.0.2"]);
  assert.deepEqual(found("bare.back.lab.example", "lab.example"), ["10.0.0.3"]);
  const others = ["off.back.nexus", "db.back.nexus", "shop-db.shop.nexus", "db.nexus", "shop-db.back.other", "x.db.shop.nexus"];
  for (const name of others) assert.deepEqual(found(name), [], name);
});
