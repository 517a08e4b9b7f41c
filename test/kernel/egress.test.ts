import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { readEdns } from "../../src/wire/dns/edns.ts";
import { setBridgeNetfilter } from "./world/topology.ts";
import { EgressBed, pinned, site, uplink } from "./world/egress-bed.ts";

const zone = {
  "api.site.example": { addresses: [site.a, site.a6], ttl: 300 },
  "www.other.example": { addresses: [site.b, site.b6] },
  "brief.site.example": { addresses: [site.b], ttl: 1 },
  "long.site.example": { addresses: [site.b], ttl: 86_400 },
  "alias.site.example": { alias: "edge.cdn.example", ttl: 3000 },
  "edge.cdn.example": { addresses: [site.shared], ttl: 120 },
  "inside.site.example": { addresses: ["10.1.2.3", "fd00::5"] },
  "mixed.site.example": { addresses: ["169.254.169.254", site.a] },
  "*.many.example": { numbered: "93.184.77.N" },
};

describe("an egress policy", { timeout: 180_000 }, () => {
  let bed: EgressBed;
  before(async () => {
    bed = await EgressBed.make();
    await bed.names.serve(zone);
    await bed.network({
      name: "lan",
      subnets: [{ prefix: "10.10.1.0/24" }],
      ipv6: true,
      egress: {
        mode: "allowlist",
        allow: ["api.site.example:443", "*.site.example:80", "*.site.example:123/tcp", "*.many.example:443", "pool.other.example:443"],
      },
    });
    await bed.network({ name: "shut", subnets: [{ prefix: "10.10.2.0/24" }], egress: { mode: "none" } });
    await bed.network({ name: "open", subnets: [{ prefix: "10.10.3.0/24" }], peers: ["shut"] });
    await bed.guest({ name: "web", networks: [{ network: "lan" }] });
    await bed.guest({ name: "app", networks: [{ network: "lan", egress: { mode: "allowlist", allow: ["api.site.example:80"] } }] });
    await bed.guest({ name: "cell", networks: [{ network: "shut" }] });
    await bed.guest({ name: "cell2", networks: [{ network: "shut" }] });
    await bed.guest({ name: "free", networks: [{ network: "open" }], publish: [{ hostPort: 8080, guestPort: 80 }] });
    await bed.guest({ name: "tame", networks: [{ network: "open", egress: { mode: "allowlist", allow: ["api.site.example:443"] } }] });
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  test("lets nobody reach an address before its name was asked for, and then that guest on that port", async () => {
    assert.equal(await bed.reach("tame", site.a, 443), "refused");
    assert.deepEqual(await bed.addresses("tame", "api.site.example"), [site.a]);
    assert.equal(await bed.reach("tame", site.a, 443), "answer");
    assert.equal(await bed.reach("tame", site.a, 443, "udp"), "answer", "HTTP/3 is as good");
    assert.equal(await bed.reach("tame", site.a, 80), "refused");
    assert.equal(await bed.reach("tame", site.b, 443), "refused");
    assert.equal(await bed.reach("web", site.a, 443), "refused", "another guest's question is not its own");
  });

  test("holds for IPv6 too, whichever family the question came by", async () => {
    assert.equal(await bed.reach("web", site.a6, 443), "refused");
    assert.equal(await bed.visit("web", "api.site.example", 443, "AAAA"), "answer");
    assert.equal(await bed.reach("web", site.b6, 443), "refused");
    assert.deepEqual(
      pinned("pinned6")
        .map(({ to }) => to)
        .toSorted(),
      [`${site.a6} 123`, `${site.a6} 443`, `${site.a6} 80`],
    );
  });

  test("refuses within a moment, so that programs need not wait", async () => {
    for (const protocol of ["tcp", "udp"] as const) {
      const outcome = await bed.place("web").probe({ protocol, address: site.b, port: 443, patienceMs: 8000 });
      assert.ok(outcome.kind === "refused" && outcome.ms < 2000, JSON.stringify(outcome));
    }
  });

  test("names that it does not have are never asked of anybody, and say that they are blocked", async () => {
    await bed.names.asked();
    for (const name of ["www.other.example", "site.example", "api.site.example.evil.test", "4.3.2.1.in-addr.arpa"]) {
      const { flags, answers, additionals } = await bed.lookUp("web", name);
      assert.deepEqual([flags & 15, answers.length], [3, 0], name);
      const edns = additionals[0] && readEdns(additionals[0]);
      assert.deepEqual(
        edns?.options.map(({ code, bytes }) => [code, bytes[1], Buffer.from(bytes.subarray(2)).toString()]),
        [[15, 15, "egress policy"]],
      );
    }
    assert.deepEqual(await bed.names.asked(), []);
    assert.equal((await bed.lookUp("cell", "api.site.example")).flags & 15, 3);
  });

  test("another resolver, and addresses without a name, are out of reach", async () => {
    assert.equal(await bed.reach("web", uplink.outside, 53, "udp"), "refused");
    assert.equal(await bed.reach("web", uplink.outside, 80), "refused");
    assert.equal(await bed.reach("web", "93.184.50.50", 443), "refused");
  });

  test("an alias is judged by the name asked for, and kept no longer than its addresses", async () => {
    const { answers } = await bed.lookUp("web", "alias.site.example");
    assert.deepEqual(
      answers.map(({ data, ttl }) => [data.kind, ttl <= 120]),
      [
        ["CNAME", true],
        ["A", true],
      ],
    );
    assert.equal(await bed.reach("web", site.shared, 80), "answer");
    assert.equal(await bed.reach("web", site.shared, 443), "refused");
    assert.equal((await bed.lookUp("web", "edge.cdn.example")).flags & 15, 3, "the alias's own name is no rule's");
  });

  test("an answer is kept for less time than its address can be reached", async () => {
    for (const [name, least, most, ttl] of [
      ["brief.site.example", 80, 91, 1],
      ["long.site.example", 3600, 3631, 3600],
    ] as const) {
      const { answers } = await bed.lookUp("web", name);
      assert.ok((answers[0]?.ttl ?? 99_999) <= ttl, name);
      const left = pinned().filter(({ names, source }) => names.split(" ").includes(name) && source === bed.address("web"));
      assert.deepEqual(left.map(({ to }) => to).toSorted(), [`${site.b} 123`, `${site.b} 80`]);
      for (const { seconds } of left) assert.ok(seconds >= least && seconds <= most, `${name}: ${seconds} s`);
    }
  });

  test("special addresses are withheld, whatever name leads to them", async () => {
    const { flags, answers } = await bed.lookUp("web", "inside.site.example");
    assert.deepEqual([flags & 15, answers.length], [0, 0]);
    assert.deepEqual(await bed.addresses("web", "inside.site.example", "AAAA"), []);
    assert.deepEqual(await bed.addresses("web", "mixed.site.example"), [site.a]);
    assert.ok(pinned().every(({ to }) => to.startsWith("93.184.")));
  });

  test("types that name other places are left out, others of an allowed name are as they are", async () => {
    assert.deepEqual((await bed.lookUp("web", "api.site.example", "HTTPS")).answers, []);
    assert.equal((await bed.lookUp("web", "api.site.example", "TXT")).flags & 15, 0);
  });

  test("an attachment's policy narrows its network's: what one lacks, neither gives", async () => {
    assert.deepEqual(await bed.addresses("app", "api.site.example"), [site.a]);
    assert.equal(await bed.reach("app", site.a, 80), "answer", "in both: *.site.example:80 and api.site.example:80");
    assert.equal(await bed.reach("app", site.a, 443), "refused", "in the network's alone");
    assert.equal((await bed.lookUp("app", "brief.site.example")).flags & 15, 3);
  });

  test("guests of one network and of peers stay among themselves, and the host reaches them", async () => {
    assert.equal(await bed.reach("cell", bed.address("cell2"), 80), "answer");
    assert.equal(await bed.reach("cell", bed.address("free"), 80), "answer");
    assert.equal(await bed.reach("free", bed.address("cell"), 80), "answer");
    assert.equal((await bed.host.probe({ protocol: "tcp", address: bed.address("cell"), port: 80, patienceMs: 8000 })).kind, "answer");
    assert.deepEqual(await bed.addresses("cell", "cell2.shut.nexus"), [bed.address("cell2")]);
    assert.equal(await bed.reach("web", bed.address("free"), 80), "refused");
  });

  test("bridged frames that the routed rules see, as other programs make the kernel show them, stay among themselves too", async () => {
    setBridgeNetfilter(1);
    try {
      assert.equal(await bed.reach("cell", bed.address("cell2"), 443), "answer");
      assert.equal(await bed.reach("cell", bed.address("free"), 443), "answer");
      assert.equal(await bed.visit("tame", "api.site.example", 443), "answer");
      assert.equal(await bed.reach("tame", site.b, 443), "refused");
      assert.equal(await bed.reach("cell", uplink.host, 7000), "refused");
    } finally {
      setBridgeNetfilter(0);
    }
  });

  test("of the host, only the gateway's names, addresses and echo are left", async () => {
    execFileSync("ip", ["netns", "exec", "nexus-web", "ping", "-c1", "-W5", bed.gateway("web")]);
    execFileSync("ip", ["netns", "exec", "nexus-web", "ping", "-c1", "-W5", bed.gateway("web", 6)]);
    for (const address of [bed.gateway("web"), bed.gateway("web", 6), uplink.host])
      assert.equal(await bed.reach("web", address, 7000), "refused", address);
    assert.equal(await bed.reach("web", bed.gateway("web"), 7001, "udp"), "refused");
    assert.equal(await bed.reach("web", uplink.host, 8080), "refused", "a published port of another network");
    assert.equal(await bed.reach("cell", uplink.host, 8080), "answer", "a published port of a peer");
    assert.equal(await bed.reach("free", bed.gateway("free"), 7000), "answer", "without a policy");
  });

  test("a client that connects at once is never refused, in a thousand tries", async () => {
    const outcomes = new Map<string, number>();
    for (let i = 0; i < 1000; i++) {
      const outcome = await bed.visit(i % 2 === 0 ? "web" : "tame", i % 2 === 0 ? `n${i}.many.example` : "api.site.example", 443);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    assert.deepEqual([...outcomes], [["answer", 1000]]);
  });

  test("pins are no difference to the policy: nothing is planned and nothing repaired", async () => {
    assert.ok(pinned().length > 100);
    assert.deepEqual((await bed.daemon.client.call("plan.pending")).steps, []);
    assert.deepEqual((await bed.daemon.client.call("reconcile")).steps, []);
    assert.ok(pinned().length > 100);
  });

  test("a guest's pins go with it: the next holder of its address starts with none", async () => {
    await bed.guest({
      name: "brief",
      networks: [{ network: "open", address: "10.10.3.77", egress: { mode: "allowlist", allow: ["api.site.example:443"] } }],
    });
    assert.equal(await bed.visit("brief", "api.site.example", 443), "answer");
    assert.ok(pinned().some(({ source }) => source === "10.10.3.77"));
    await bed.daemon.client.call("attachment.remove", { params: { name: "brief" } });
    assert.ok(!pinned().some(({ source }) => source === "10.10.3.77"));
  });

  test("why says which policy decides, and what is pinned", async () => {
    const why = async (from: string, to: string) => {
      const { verdict, reason, rule } = await bed.daemon.client.call("why", { query: { from, to } });
      return { verdict, reason, rule };
    };
    assert.deepEqual(await why("web", "www.other.example:443"), {
      verdict: "deny",
      reason: "the egress allowlist of network lan does not have www.other.example:443",
      rule: "inet nexus egress refused-tcp",
    });
    assert.equal((await why("web", "www.other.example:443/udp")).rule, "inet nexus egress refused");
    assert.match((await why("web", "pool.other.example:443/udp")).reason, /allowed by TCP and UDP/);
    await assert.rejects(
      bed.daemon.client.call("why", { query: { from: "web", to: "www.other.example:443/udp", protocol: "icmp" } }),
      /says udp, and the protocol asked about is icmp/,
    );
    assert.match((await why("web", "alias.site.example:443")).reason, /network lan has alias\.site\.example on port 80, 123, not on 443/);
    assert.match(
      (await why("app", "api.site.example:443")).reason,
      /guest app on network lan has api\.site\.example on port 80, not on 443/,
    );
    assert.match((await why("cell", "api.site.example:443")).reason, /egress policy of network shut is none/);
    assert.match((await why("web", "pool.other.example:443")).reason, /allowed by TCP and UDP, but the name was not asked for lately/);
    await bed.addresses("web", "api.site.example");
    assert.match((await why("web", "api.site.example:443")).reason, new RegExp(`pinned to .*${site.a}.* for \\d+ s more`));
    assert.equal((await why("web", `${site.a}:443`)).verdict, "allow");
    assert.match((await why("web", `${uplink.outside}:53`)).reason, /answer to no name/);
    assert.equal((await why("free", "www.other.example:443")).verdict, "allow");
    assert.equal((await why("web", `${bed.gateway("web")}:53`)).verdict, "allow");
    assert.match((await why("web", `${uplink.host}:7000`)).rule, /egress_host refused-tcp/);
    assert.match((await why("web", "web.lan.nexus:80")).reason, /own address/);
  });

  test("what was refused and what was pinned is told, once", async () => {
    const events = await bed.daemon.eventsSince(0);
    const of = (kind: string, name: string) => events.filter((e) => e.kind === kind && e.details?.["name"] === name && e.subject === "web");
    assert.equal(of("egress.refused", "www.other.example").length, 1);
    assert.equal(of("egress.allowed", "alias.site.example").length, 1);
    assert.match(of("egress.refused", "inside.site.example")[0]?.message ?? "", /10\.1\.2\.3 is private/);
    const many = events.filter((e) => e.subject === "web" && e.kind === "egress.allowed");
    assert.ok(many.length <= 40, `${many.length} events of one guest`);
  });
});
