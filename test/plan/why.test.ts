import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Transport } from "../../src/base/port.ts";
import type { WhyView } from "../../src/spec/views.ts";
import { why } from "../../src/plan/why.ts";
import type { Desired } from "../../src/plan/plan.ts";
import { attachment, desired, ip, network, publish } from "./sample.ts";

/** The same questions are put to packets by test/kernel/matrix.test.ts; here are those that need no kernel, and the words. */

const lan = network(1, "lan", { subnets: ["10.7.0.0/24", "fd00:7::/64"] });
const dmz = network(2, "dmz", { subnets: ["10.8.0.0/24"], peers: ["lan"] });
const vault = network(3, "vault", { subnets: ["10.9.0.0/24"], internal: true });
const hotel = network(4, "hotel", { subnets: ["10.10.0.0/24"], isolation: "guests" });
const routed = network(5, "routed", { subnets: ["10.11.0.0/24"], nat: false });
const shared = network(6, "shared", { subnets: ["10.12.0.0/24"], internal: true, peers: ["lan"] });
const networks = [lan, dmz, vault, hotel, routed, shared];
const web = attachment("web", lan);
const mail = attachment("mail", dmz);
const room = attachment("room", hotel);
const both = [attachment("both", vault), attachment("both", dmz, { nic: 1, host: 11 })];
const attachments = [
  web,
  attachment("app", lan, { host: 11 }),
  mail,
  attachment("safe", vault, { host: 12 }),
  room,
  attachment("room2", hotel, { host: 11 }),
  attachment("edge", routed),
  ...both,
  attachment("inner", shared),
];
const publishes = [
  publish(web, { from: 8080, guest: 80 }),
  publish(web, { from: 9000, to: 9010, guest: 9000 }),
  publish(web, { from: 8082, guest: 80, host: "127.0.0.1" }),
  publish(web, { from: 8083, guest: 80, host: "::1" }),
  publish(mail, { from: 8025, guest: 25, host: "127.0.0.1" }),
  publish(web, { from: 8025, guest: 26, host: "198.51.100.1" }),
  publish(mail, { from: 8026, guest: 25 }),
  publish(room, { from: 8090, guest: 80 }),
];
const world = desired({ networks, attachments, publishes });
const gateways = networks.flatMap((n) => n.subnets.map((s) => s.gateway));
const hostAddresses = [ip("127.0.0.1"), ip("::1"), ip("198.51.100.1"), ip("2001:db8::1"), ...gateways];

type Question = [from: string, to: string, port?: number | undefined, protocol?: Transport | "icmp"];
const rows: [Question, "allow" | "deny", reason: RegExp, rule: RegExp][] = [
  [["web", "app", 80], "allow", /both are on network lan/, /bridged/],
  [["web", "web", 80], "allow", /its? .*own address/, /does not leave/],
  [["web", "10.7.0.99", 80], "deny", /no running guest holds 10\.7\.0\.99/, /no answer/],
  [["web", "mail", 25], "allow", /peers/, /forward peers/],
  [["mail", "web", undefined, "icmp"], "allow", /peers/, /forward peers/],
  [["web", "10.8.0.99", 80], "deny", /no running guest holds/, /no answer/],
  [["web", "room", 80], "deny", /--peer hotel/, /forward isolation/],
  [["room", "room2", 80], "deny", /isolates its guests/, /port isolated/],
  [["room2", "198.51.100.1", 8090], "deny", /published ports included/, /forward apart/],
  [["web", "198.51.100.1", 8090], "allow", /open to guests/, /forward published/],
  [["web", "safe", 80], "deny", /vault is internal/, /to-internal/],
  [["safe", "web", 80], "deny", /internal/, /no route/],
  [["safe", "203.0.113.1", 80], "deny", /no default route/, /no route/],
  [["safe", "10.9.0.1", 53, "udp"], "allow", /gateway the guest may use/, /own-gateway-4/],
  [["safe", "198.51.100.1", 22], "deny", /no default route/, /no route/],
  [["web", "inner", 80], "allow", /are peers/, /forward peers/],
  [["inner", "web", 80], "allow", /are peers/, /forward peers/],
  [["both", "web", 80], "allow", /peers/, /forward peers/],
  [["both", "203.0.113.1", 80], "allow", /host's address/, /masquerade4/],
  [["both", "safe", 80], "allow", /both are on network vault/, /bridged/],
  [["both", "198.51.100.1", 8080], "allow", /open to guests/, /published/],
  [["web", "2001:db8:9::1", 443], "allow", /host's address/, /masquerade6/],
  [["mail", "2001:db8:9::1", 443], "deny", /no IPv6 default route/, /no route/],
  [["mail", "fd00:7::a", 80], "deny", /no IPv6 default route/, /no route/],
  [["edge", "203.0.113.1", 80], "allow", /needs a route back to 10\.11\.0\.0\/24/, /policy accept/],
  [["web", "10.10.0.1", 53], "deny", /gateway of network hotel/, /other-gateway-4/],
  [["web", "10.8.0.1", 53], "allow", /gateway the guest may use/, /own-gateway-4/],
  [["web", "198.51.100.1", 22], "allow", /does not filter/, /policy accept/],
  [["web", "host", 8080], "allow", /open to guests/, /published/],
  [["app", "host", 8082], "allow", /gateway the guest may use/, /own-gateway/],
  [["web", "127.0.0.1", 8082], "deny", /own loopback/, /loopback address/],
  [["nobody", "web", 80], "deny", /no attachment/, /no attachment/],
  [["web", "nobody", 80], "deny", /no running guest and no address/, /no address/],
  [["outside", "host", 8080], "allow", /published/, /publish \(tcp 8080\)/],
  [["outside", "198.51.100.1", 9010], "allow", /published/, /publish \(tcp 9000\)/],
  [["outside", "198.51.100.1", 9011], "deny", /not published/, /no element/],
  [["outside", "198.51.100.1", 8080, "udp"], "deny", /not published/, /no element/],
  [["outside", "host", 8082], "deny", /127\.0\.0\.1 only/, /loopback/],
  [["outside", "host", 8025], "allow", /published/, /publish/],
  [["outside", "2001:db8::1", 8026], "deny", /not published/, /no element/],
  [["outside", "2001:db8::1", 8080], "allow", /published/, /publish/],
  [["outside", "web", 80], "deny", /publish a port/, /direct-access-4/],
  [["outside", "fd00:7::a", 80], "deny", /publish a port/, /direct-access-6/],
  [["outside", "edge", 80], "allow", /routed/, /policy accept/],
  [["outside", "safe", 80], "deny", /not reachable/, /direct-access-4/],
  [["host", "web", 80], "allow", /gateway of network lan/, /route 10\.7\.0\.0\/24 dev nx-lan/],
  [["host", "127.0.0.1", 8082], "allow", /published/, /publish/],
  [["host", "::1", 8083], "allow", /published/, /nexusd carries/],
  [["host", "::1", 8080], "deny", /not published/, /no element/],
  [["host", "198.51.100.1", 8082], "deny", /not published/, /no element/],
  [["host", "203.0.113.1", 80], "allow", /does not filter/, /no rule of ours/],
  [["host", "10.7.0.99", 80], "deny", /no running guest holds/, /no answer/],
  [["host", "nobody", 80], "deny", /no running guest/, /no address/],
];

describe("why", () => {
  for (const [question, verdict, reason, rule] of rows) {
    test(`${question.filter((part) => part !== undefined).join(" ")}: ${verdict}`, () => {
      const said = ask(question);
      assert.deepEqual([said.verdict, reason.test(said.reason), rule.test(said.rule)], [verdict, true, true], JSON.stringify(said));
    });
  }

  test("names other programs that may drop a packet on its way through, and only there", () => {
    const foreignDrops = ["ufw (chain ip filter FORWARD, policy drop)"];
    const mentions = (question: Question) => ask(question, { foreignDrops }).path.some((p) => p.result.includes("ufw"));
    assert.deepEqual(
      (
        [
          ["web", "203.0.113.1", 80],
          ["outside", "host", 8080],
          ["outside", "edge", 80],
          ["web", "app", 80],
          ["host", "web", 80],
        ] as Question[]
      ).map(mentions),
      [true, true, true, false, false],
    );
  });

  test("tells the way step by step", () => {
    assert.deepEqual(ask(["web", "203.0.113.1", 80]).path, [
      { step: "guest web", result: "10.7.0.10, fd00:7::a on lan" },
      { step: "destination", result: "203.0.113.1" },
      { step: "route", result: "default via 10.7.0.1 on lan" },
    ]);
  });

  test("without any network, the host is still told from the rest", () => {
    assert.equal(ask(["host", "203.0.113.1", 80], {}, desired({})).verdict, "allow");
    assert.equal(ask(["outside", "host", 80], {}, desired({})).verdict, "deny");
  });
});

function ask([from, to, port, protocol]: Question, more: { foreignDrops?: string[] } = {}, of: Desired = world): WhyView {
  return why({ from, to, port, protocol: protocol ?? "tcp", hostAddresses, foreignDrops: more.foreignDrops ?? [] }, of);
}
