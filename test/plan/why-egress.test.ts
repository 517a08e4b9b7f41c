import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Port } from "../../src/base/port.ts";
import { why } from "../../src/plan/why.ts";
import type { EgressWish } from "../../src/spec/egress-wish.ts";
import { attachment, desired, ip, network, publish } from "./sample.ts";

const list = (...allow: string[]): EgressWish => ({ mode: "allowlist", allow });
const lan = network(1, "lan", { subnets: ["10.7.0.0/24"], egress: list("*.a.example:443", "b.example:80") });
const open = network(2, "open", { subnets: ["10.8.0.0/24"], peers: ["lan"] });
const far = network(3, "far", { subnets: ["10.9.0.0/24"] });
const web = attachment("web", lan);
const tame = { ...attachment("tame", far), egress: { mode: "none" as const, allow: [] } };
const both = { ...attachment("both", lan, { host: 11 }), egress: list("x.a.example:443") };
const world = desired({
  networks: [lan, open, far],
  attachments: [web, tame, both, attachment("free", open), attachment("other", far, { host: 11 })],
  publishes: [
    publish(attachment("free", open), { from: 8080, guest: 80 }),
    publish(attachment("other", far, { host: 11 }), { from: 8081, guest: 80 }),
  ],
  pins: [{ source: ip("10.7.0.10"), address: ip("93.184.1.1"), port: 443 as Port, names: ["x.a.example"], leftMs: 57_000 }],
});

type Row = [from: string, to: string, port: number | undefined, verdict: "allow" | "deny", reason: RegExp, rule: RegExp];
const rows: Row[] = [
  ["web", "x.a.example", 443, "allow", /pinned to 93\.184\.1\.1 for 57 s more/, /egress pinned/],
  ["web", "y.a.example", 443, "allow", /not asked for lately/, /no element yet/],
  ["web", "x.a.example", 80, "deny", /network lan has x\.a\.example on port 443, not on 80/, /egress refused-tcp/],
  ["web", "x.a.example", undefined, "allow", /pinned to/, /pinned/],
  ["web", "a.example", 443, "deny", /allowlist of network lan does not have a\.example:443/, /refused-tcp/],
  ["both", "y.a.example", 443, "deny", /guest both on network lan does not have y\.a\.example:443/, /refused-tcp/],
  ["both", "x.a.example", 443, "allow", /not asked for lately/, /no element yet/],
  ["tame", "x.a.example", 443, "deny", /guest tame on network far is none/, /refused-tcp/],
  ["free", "x.a.example", 443, "allow", /no egress policy restricts free/, /no rule of ours/],
  ["web", "93.184.1.1", 443, "allow", /web asked for x\.a\.example, which is allowed/, /egress pinned-4/],
  ["web", "93.184.1.1", 80, "deny", /93\.184\.1\.1 port 80 is the answer to no name/, /refused-tcp/],
  ["both", "93.184.1.1", 443, "deny", /answer to no name/, /refused-tcp/],
  ["web", "free", 80, "allow", /are peers/, /forward peers/],
  ["web", "10.7.0.1", 53, "allow", /gateway serves names/, /egress_gateway/],
  ["web", "10.7.0.1", 22, "deny", /only its gateway's DNS, DHCP and echo/, /egress_host refused-tcp/],
  ["web", "198.51.100.1", 53, "deny", /only its gateway/, /egress_host/],
  ["web", "198.51.100.1", 8080, "allow", /published/, /forward published/],
  ["web", "198.51.100.1", 8081, "deny", /guest other is on another network/, /refused-published/],
];

describe("why, under an egress policy,", () => {
  for (const [from, to, port, verdict, reason, rule] of rows)
    test(`${from} to ${to}${port === undefined ? "" : `:${port}`}`, () => {
      const beyond = to.endsWith(".example");
      const hostAddresses = ["198.51.100.1", "10.7.0.1", "10.8.0.1", "10.9.0.1"].map(ip);
      const answer = why({ from, to, beyond, port, protocol: "tcp", hostAddresses, foreignDrops: [] }, world);
      assert.deepEqual([answer.verdict, reason.test(answer.reason), rule.test(answer.rule)], [verdict, true, true], JSON.stringify(answer));
    });

  test("only TCP and UDP leave, and echo stays at the gateway", () => {
    const ask = (to: string, beyond = false) =>
      why({ from: "web", to, beyond, port: undefined, protocol: "icmp", hostAddresses: [ip("10.7.0.1")], foreignDrops: [] }, world);
    assert.match(ask("x.a.example", true).reason, /TCP and UDP alone/);
    assert.match(ask("93.184.1.1").reason, /TCP and UDP alone/);
    assert.equal(ask("10.7.0.1").verdict, "allow");
  });
});
