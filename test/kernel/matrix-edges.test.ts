import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import type { Name } from "../../src/base/names.ts";
import type { NetworkChange } from "../../src/spec/network.ts";
import type { Outcome, Place, Probe } from "./world/place.ts";
import { foreign, host, hostPorts, ip, outside, published, setBridgeNetfilter, shownByIp, uplinkMtu, World } from "./world/topology.ts";
import { until } from "./world/until.ts";

const tcp = (address: string, port: number, more: Partial<Probe> = {}): Probe => ({
  protocol: "tcp",
  address,
  port,
  patienceMs: 8000,
  ...more,
});

describe("at the edges of what is ours", { timeout: 120_000 }, () => {
  let world: World;
  let foreignBefore: string[];
  before(async () => {
    world = await World.make(async (places) => {
      setBridgeNetfilter(1);
      foreignBefore = await foreignTraffic(places);
    });
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const bridgeNetfilter of [0, 1] as const) {
    test(`bridge-nf-call ${bridgeNetfilter}: bridged and routed traffic of others is as it was before there was a daemon`, async () => {
      setBridgeNetfilter(bridgeNetfilter);
      assert.ok(
        foreignBefore.every((line) => line.includes('"answer"')),
        foreignBefore.join("\n"),
      );
      assert.deepEqual(await foreignTraffic(world.places), foreignBefore);
    });
  }

  test("another program's forward policy that drops stops guests, and why names it", async () => {
    assert.equal((await world.place("web").probe(tcp(outside[4], 80))).kind, "answer");
    const question = { query: { from: "web", to: `${outside[4]}:80` } };
    const mentions = async () => JSON.stringify((await world.daemon.client.call("why", question)).path);
    assert.doesNotMatch(await mentions(), /strict/);
    nft("table ip strict { chain wall { type filter hook forward priority 5; policy drop; }\n}");
    try {
      assert.equal((await world.place("web").probe(tcp(outside[4], 80, { patienceMs: 1000 }))).kind, "silent");
      assert.match(await mentions(), /chain ip strict wall/);
    } finally {
      nft("delete table ip strict");
    }
    assert.doesNotMatch(await mentions(), /strict/);
    assert.equal((await world.place("web").probe(tcp(outside[4], 80))).kind, "answer");
  });

  for (const family of [4, 6] as const) {
    test(`IPv${family}: a guest's privileged port does not leave the host as one`, async () => {
      for (const protocol of ["tcp", "udp"] as const) {
        const heard = await world.place("web").probe({ ...tcp(outside[family], protocol === "tcp" ? 80 : 81), protocol, localPort: 600 });
        assert.ok(heard.kind === "answer" && (heard.seenPort ?? 0) >= 1024, JSON.stringify(heard));
        const routed = await world.place("edge").probe({ ...tcp(outside[family], protocol === "tcp" ? 80 : 81), protocol, localPort: 601 });
        assert.ok(routed.kind === "answer" && routed.seenPort === 601, JSON.stringify(routed));
      }
    });
  }

  for (const guest of ["web", "safe1"]) {
    test(`the gateway answers names for ${guest}`, async () => {
      const network = world.guest(guest).attachments[0]?.network ?? "";
      for (const family of [4, 6] as const) {
        const answer = await world.place(guest).probe({
          protocol: "udp",
          address: world.gateway(network, family),
          port: 53,
          patienceMs: 8000,
          payload: dnsQuestion(`${guest}.${network}.nexus`),
        });
        assert.ok(answer.kind === "bytes", JSON.stringify(answer));
        const reply = Buffer.from(answer.bytes);
        assert.deepEqual([reply.readUInt16BE(2) & 0xf, reply.readUInt16BE(6)], [0, 1], "no error, one record");
        const address = [...reply.subarray(-4)].join(".");
        assert.equal(address, world.address(guest, 4));
      }
    });
  }

  test("a range is one element, and a shifted one has an element for each port", () => {
    assert.deepEqual(portsIn("publish_range4"), ["tcp 9000-9002", "udp 9300-9302"]);
    const shifted = portsIn("publish4").filter((line) => line.includes(` ${Math.floor(published.shifted / 10)}`));
    assert.deepEqual(shifted, ["tcp 9100", "tcp 9101", "tcp 9102"]);
  });

  test("networks have the uplink's MTU, and follow it", async () => {
    assert.deepEqual(mtus(world), Array(3).fill(uplinkMtu));
    ip(["link set uplink mtu 1380"]);
    try {
      await world.daemon.client.call("reconcile");
      assert.deepEqual(mtus(world), Array(3).fill(1380));
      await until(
        "the view follows",
        async () => (await world.daemon.client.call("network.get", { params: { name: "lan" } })).mtuBytes === 1380,
      );
    } finally {
      ip([`link set uplink mtu ${uplinkMtu}`]);
    }
    await world.daemon.client.call("reconcile");
    assert.deepEqual(mtus(world), Array(3).fill(uplinkMtu));
  });

  test("an internal network's guests reach peers, and nothing else, for as long as the peering holds", async () => {
    const { client } = world.daemon;
    const change = async (peers: string[]) => client.call("network.change", { params: { name: "vault" }, body: { peers: peers } });
    const reaches = async (from: string, to: string) =>
      (await world.place(from).probe(tcp(to, 80, { patienceMs: 2500 }))).kind === "answer";
    const web = world.address("web", 4);
    assert.equal(await reaches("safe1", web), false);
    await change(["lan"]);
    assert.deepEqual([await reaches("safe1", web), await reaches("web", world.address("safe1", 4))], [true, true]);
    assert.deepEqual([await reaches("safe1", world.address("db", 4)), await reaches("safe1", outside[4])], [false, false]);
    await change([]);
    assert.deepEqual([await reaches("safe1", web), await reaches("web", world.address("safe1", 4))], [false, false]);
  });

  test("isolation, peers and translation change while guests run", async () => {
    const { client } = world.daemon;
    const change = async (name: string, body: Partial<NetworkChange>) => client.call("network.change", { params: { name }, body });
    const reaches = async (from: string, to: string) =>
      (await world.place(from).probe(tcp(to, 80, { patienceMs: 2500 }))).kind === "answer";
    const toDb = world.address("db", 4);
    assert.equal(await reaches("web", toDb), false);
    await change("back", { peers: ["lan" as Name] });
    assert.equal(await reaches("web", toDb), true);
    await change("back", { peers: [] });
    assert.equal(await reaches("web", toDb), false);
    // Neighbours know each other from here on: one not found while apart would be held for lost for some seconds after.
    assert.equal(await reaches("web", world.address("app", 4)), true);
    await change("lan", { isolation: "guests" });
    assert.equal(await reaches("web", world.address("app", 4)), false);
    await change("lan", { isolation: "none" });
    assert.equal(await reaches("web", world.address("app", 4)), true);
    await change("back", { nat: false });
    const seen = await world.place("db").probe(tcp(outside[4], 80));
    assert.ok(seen.kind === "answer" && seen.seen === toDb, JSON.stringify(seen));
    await change("back", { nat: true });
    const hidden = await world.place("db").probe(tcp(outside[4], 80));
    assert.ok(hidden.kind === "answer" && hidden.seen === host[4], JSON.stringify(hidden));
  });

  test("a removed network leaves no element of any set behind, whichever side asked for the peering", async () => {
    const { client } = world.daemon;
    const ruleset = () => execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" });
    for (const asker of ["first", "second"]) {
      await client.call("network.create", { body: { name: "first", subnets: [{ prefix: "10.20.1.0/24" }] } });
      await client.call("network.create", { body: { name: "second", subnets: [{ prefix: "10.20.2.0/24" }], peers: ["first"] } });
      const [goes, stays] = asker === "first" ? ["second", "first"] : ["first", "second"];
      await client.call("network.remove", { params: { name: goes } });
      assert.doesNotMatch(
        ruleset(),
        new RegExp(`nx-${goes}|${goes === "first" ? "10\\.20\\.1" : "10\\.20\\.2"}\\.`),
        `${goes} was removed`,
      );
      await client.call("network.remove", { params: { name: stays } });
    }
  });

  test("a detached guest is reached by nobody, and the port is free again", async () => {
    const { client } = world.daemon;
    const at = world.address("edge", 4);
    assert.equal((await world.place("outside").probe(tcp(host[4], published.edge))).kind, "answer");
    await client.call("attachment.remove", { params: { name: "edge" } });
    const refused = await world.place("outside").probe(tcp(host[4], published.edge));
    assert.ok(refused.kind === "refused" && refused.code === "ECONNREFUSED", JSON.stringify(refused));
    assert.notEqual((await world.place("host").probe(tcp(at, 80, { patienceMs: 1000 }))).kind, "answer");
    assert.equal(
      portsIn("publish4").some((line) => line.endsWith(` ${published.edge}`)),
      false,
    );
  });
});

/** Two on a bridge of somebody else, and one behind a link of somebody else. */
async function foreignTraffic(places: ReadonlyMap<string, Place>): Promise<string[]> {
  const ways = [
    ["foreign1", foreign.bridged2, 80],
    ["foreign2", foreign.bridged1, 80],
    ["foreign1", foreign.routed, 80],
    ["foreign3", foreign.bridged2, 80],
    ["foreign3", "192.0.2.1", hostPorts.tcp],
    ["host", foreign.routed, 80],
  ] as const;
  return await Promise.all(
    ways.map(async ([from, to, port]) => {
      const { seenPort: _, ...outcome } = (await (places.get(from) ?? assert.fail(from)).probe(tcp(to, port))) as Outcome & {
        seenPort?: number;
      };
      return `${from} -> ${to}: ${JSON.stringify(outcome)}`;
    }),
  );
}

/** RFC 1035 §4.1: one question for an A record. */
function dnsQuestion(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

function portsIn(map: string): string[] {
  const out = execFileSync("nft", ["-j", "list", "map", "inet", "nexus", map], { encoding: "utf8" });
  const { nftables } = JSON.parse(out) as { nftables: { map?: { elem?: [Element | { elem: { val: Element } }, unknown][] } }[] };
  type Element = { concat: [string, number | { range: [number, number] }] };
  const elements = nftables.flatMap((item) => item.map?.elem ?? []);
  return elements
    .map(([key]) => ("elem" in key ? key.elem.val : key).concat)
    .map(([protocol, port]) => `${protocol} ${typeof port === "number" ? port : port.range.join("-")}`)
    .toSorted();
}

function mtus(world: World): number[] {
  const of = (command: string) => (shownByIp(command)[0]?.["mtu"] as number | undefined) ?? 0;
  return [
    of(`-j link show ${world.network("lan").bridge}`),
    of(`-j link show ${world.hostInterface("web")}`),
    of("-n nexus-web -j link show eth0"),
  ];
}

function nft(text: string): void {
  execFileSync("nft", ["-f", "-"], { input: text });
}
