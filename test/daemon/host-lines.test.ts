import assert from "node:assert/strict";
import { test } from "node:test";
import { hostLines } from "../../src/daemon/hosts-file.ts";
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
