import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, beforeEach, describe, test } from "node:test";
import { EgressBed, pinned, site, uplink } from "./world/egress-bed.ts";

const zone = {
  "kept.site.example": { addresses: [site.a, site.a6] },
  "gone.site.example": { addresses: [site.b, site.b6] },
  "first.cdn.example": { addresses: [site.shared], ttl: 600 },
  "second.cdn.example": { addresses: [site.shared], ttl: 60 },
  "slow.site.example": { addresses: [site.b], ttl: 0, delayMs: 300 },
  "*.many.example": { numbered: "93.184.77.N" },
};
const both = ["kept.site.example:9000", "gone.site.example:9000", "kept.site.example:443", "gone.site.example:443"];
const keptOnly = ["kept.site.example:9000", "kept.site.example:443"];

describe("a change of an egress policy", { timeout: 180_000 }, () => {
  let bed: EgressBed;
  before(async () => {
    bed = await EgressBed.make();
    await bed.names.serve(zone);
    await bed.network({ name: "lan", subnets: [{ prefix: "10.10.1.0/24" }], ipv6: true });
    await bed.guest({ name: "web", networks: [{ network: "lan" }] });
    await bed.guest({ name: "app", networks: [{ network: "lan" }] });
  });
  beforeEach(() => allow(both));
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  async function allow(rules: string[] | "none" | "unrestricted"): Promise<void> {
    const egress = typeof rules === "string" ? { mode: rules, allow: [] } : { mode: "allowlist" as const, allow: rules };
    await bed.daemon.client.call("network.change", { params: { name: "lan" }, body: { egress } });
  }

  for (const family of [4, 6] as const) {
    test(`IPv${family}: cuts the connections it no longer allows, and no other`, async () => {
      const [kept, gone] = family === 4 ? [site.a, site.b] : [site.a6, site.b6];
      const type = family === 4 ? "A" : "AAAA";
      await bed.addresses("web", "kept.site.example", type);
      await bed.addresses("web", "gone.site.example", type);
      await bed.place("web").hold(`kept${family}`, kept, 9000);
      await bed.place("web").hold(`gone${family}`, gone, 9000);
      await bed.host.hold(`in${family}`, bed.address("web", family), 9000);
      await allow(keptOnly);
      assert.equal(await bed.place("web").say(`gone${family}`), "cut");
      assert.equal(await bed.place("web").say(`kept${family}`), "heard");
      assert.equal(await bed.host.say(`in${family}`), "heard", "what others began with the guest goes on");
      assert.equal(await bed.reach("web", gone, 443), "refused");
      assert.equal(await bed.reach("web", kept, 443), "answer", "without asking again");
      assert.equal(await bed.visit("web", "gone.site.example", 443, type), "no address");
      await allow(both);
      assert.equal(await bed.reach("web", gone, 443), "refused", "allowed again, but not asked for again");
      assert.equal(await bed.visit("web", "gone.site.example", 443, type), "answer");
    });
  }

  test("cuts connections without translation too, while the server goes on talking", async () => {
    await bed.network({ name: "routed", subnets: [{ prefix: "10.10.6.0/24" }], nat: false });
    bed.wayBack("10.10.6.0/24");
    await bed.guest({ name: "edge", networks: [{ network: "routed" }] });
    await bed.place("edge").hold("stream", site.b, 9001);
    assert.equal(await bed.place("edge").say("stream"), "heard");
    const change = { params: { name: "routed" }, body: { egress: { mode: "none" as const, allow: [] } } };
    await bed.daemon.client.call("network.change", change);
    assert.equal(await bed.place("edge").cut("stream"), "cut");
    assert.equal((await bed.outside.probe({ protocol: "tcp", address: bed.address("edge"), port: 80, patienceMs: 8000 })).kind, "answer");
  });

  test("a first policy cuts what was begun without one, and taking it back opens everything", async () => {
    await allow("unrestricted");
    assert.equal((await bed.daemon.client.call("network.get", { params: { name: "lan" } })).egress, undefined);
    assert.equal(await bed.reach("web", site.b, 80), "answer");
    await bed.place("web").hold("free", site.b, 9000);
    await allow("none");
    assert.equal(await bed.place("web").say("free"), "cut");
    assert.equal(await bed.reach("web", site.b, 80), "refused");
    assert.deepEqual(pinned(), []);
    await allow("unrestricted");
    assert.equal(await bed.reach("web", site.b, 80), "answer");
  });

  test("an address of two names stays for the one that is left, and for no longer than that one", async () => {
    await allow(["first.cdn.example:443", "second.cdn.example:443"]);
    await bed.addresses("web", "first.cdn.example");
    await bed.addresses("web", "second.cdn.example");
    assert.deepEqual(
      pinned().map(({ names, seconds }) => [names, seconds > 600]),
      [["first.cdn.example second.cdn.example", true]],
    );
    await allow(["second.cdn.example:443"]);
    assert.deepEqual(
      pinned().map(({ names, seconds }) => [names, seconds <= 90]),
      [["second.cdn.example", true]],
    );
    assert.equal(await bed.reach("web", site.shared, 443), "answer");
    await allow(["first.cdn.example:443"]);
    assert.deepEqual(pinned(), []);
    assert.equal(await bed.reach("web", site.shared, 443), "refused");
  });

  test("an answer that was under way when its name went is not given", async () => {
    await allow(["slow.site.example:443"]);
    await bed.names.asked();
    const asking = bed.lookUp("web", "slow.site.example");
    while ((await bed.names.asked()).length === 0);
    await allow(keptOnly);
    const { flags, answers } = await asking;
    assert.deepEqual([flags & 15, answers.length], [3, 0]);
    assert.deepEqual(pinned(), []);
  });

  test("under load nothing that is not allowed gets through, and what stays allowed is never refused", async () => {
    let allowed = 0;
    let over = false;
    const faults: string[] = [];
    const visiting = ["web", "app"].map(async (guest) => {
      while (!over) {
        const outcome = await bed.visit(guest, "kept.site.example", 443);
        if (outcome !== "answer") faults.push(`kept: ${outcome}`);
      }
    });
    const trying = ["web", "app"].map(async (guest) => {
      while (!over) {
        const before = allowed;
        const outcome = await bed.visit(guest, "gone.site.example", 443);
        const direct = await bed.reach(guest, site.b, 443);
        // An even number: it was forbidden during the whole of it.
        if (before % 2 === 0 && before === allowed && (outcome === "answer" || direct === "answer"))
          faults.push(`gone: ${outcome} ${direct}`);
      }
    });
    for (let turn = 0; turn < 30; turn++) {
      allowed++;
      await allow(both);
      await allow(keptOnly);
      allowed++;
      const name = turn % 2 === 0 ? "web" : "app";
      assert.equal(await bed.reach(name, site.b, 443), "refused");
      assert.equal(await bed.visit(name, "gone.site.example", 443), "no address");
    }
    over = true;
    await Promise.all([...visiting, ...trying]);
    assert.deepEqual(faults, []);
  });

  test("a hundred names are a hundred addresses, all reached", async () => {
    await allow(["*.many.example:443"]);
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, i) => bed.visit("web", `n${i}.many.example`, 443)));
    assert.deepEqual(new Set(outcomes), new Set(["answer"]));
    assert.equal(pinned().filter(({ source }) => source === bed.address("web")).length, 100);
  });

  test("a daemon that is killed leaves its pins in force, and the next one knows whose they are", async () => {
    await bed.addresses("web", "kept.site.example");
    await bed.addresses("web", "gone.site.example");
    await bed.place("web").hold("through", site.a, 9000);
    const had = pinned().map(({ to }) => to);
    await bed.daemon.crashAndStart(() => {
      assert.deepEqual(
        pinned().map(({ to }) => to),
        had,
        "while nobody serves",
      );
    });
    assert.equal(await bed.reach("web", site.a, 443), "answer");
    assert.equal(await bed.place("web").say("through"), "heard");
    assert.deepEqual(
      pinned()
        .map(({ to }) => to)
        .toSorted(),
      had.toSorted(),
    );
    assert.deepEqual((await bed.daemon.client.call("reconcile")).steps, []);
    const { reason } = await bed.daemon.client.call("why", { query: { from: "web", to: `${site.a}:443` } });
    assert.match(reason, /kept\.site\.example/);
    await allow(keptOnly);
    assert.equal(await bed.reach("web", site.b, 443), "refused");
    assert.equal(await bed.reach("web", site.a, 443), "answer");
  });

  test("rules that were flushed while nobody looked come back shut", async () => {
    await bed.addresses("web", "kept.site.example");
    assert.equal(await bed.reach("web", site.a, 443), "answer");
    await bed.daemon.crashAndStart(() => execFileSync("nft", ["delete", "table", "inet", "nexus"]));
    assert.deepEqual(pinned(), []);
    assert.equal(await bed.reach("web", site.a, 443), "refused");
    assert.equal(await bed.visit("web", "kept.site.example", 443), "answer");
  });

  test("nobody else's flush takes pins away, and what a stranger adds is no pin", async () => {
    await bed.addresses("web", "kept.site.example");
    const before = pinned().map(({ to }) => to);
    execFileSync("nft", ["flush", "ruleset"]);
    assert.throws(() => execFileSync("nft", ["flush", "set", "inet", "nexus", "pinned4"], { stdio: "pipe" }));
    const foreign = `${bed.address("web")} . tcp . ${uplink.outside} . 80 timeout 1h`;
    assert.throws(() => execFileSync("nft", ["add", "element", "inet", "nexus", "pinned4", `{ ${foreign} }`], { stdio: "pipe" }));
    assert.deepEqual(
      pinned().map(({ to }) => to),
      before,
    );
    await bed.daemon.crashAndStart(() => execFileSync("nft", ["add", "element", "inet", "nexus", "pinned4", `{ ${foreign} }`]));
    assert.equal(await bed.reach("web", uplink.outside, 80), "refused", "added while nobody owned the table");
    assert.equal(await bed.reach("web", site.a, 443), "answer");
  });
});
