import assert from "node:assert/strict";
import { test } from "node:test";
import { Clients } from "../../../src/services/dns/clients.ts";
import { DnsServer } from "../../../src/services/dns/server.ts";
import { addressesOf, ask, codeOf } from "./client.ts";
import { addressReply, FakeUpstream } from "./fake-upstream.ts";
import { freePort, guest, ip, network, prefix } from "./sample.ts";

const [a, b, c] = [network("a"), network("b"), network("c")];

/** Networks a–b and b–c are peers, a is internal; guests are addresses of the loopback. */
async function peers(upstream: FakeUpstream) {
  const dns = new DnsServer({ resolvConf: "/dev/null" });
  const port = await freePort("127.0.2.1");
  dns.setNetwork({ network: a, prefixes: [prefix("127.0.1.0/24")], gateways: [ip("127.0.1.1")], visible: [b], forward: false });
  dns.setNetwork({ network: b, prefixes: [prefix("127.0.2.0/24")], gateways: [ip("127.0.2.1")], visible: [a, c], forward: true });
  dns.setNetwork({ network: c, prefixes: [prefix("127.0.3.0/24")], gateways: [ip("127.0.3.1")], visible: [b], forward: true });
  dns.addGuest(b, guest("inb", "127.0.2.9"));
  dns.addGuest(c, guest("inc", "127.0.3.9"));
  dns.setUpstreams(undefined, [upstream.upstream]);
  await dns.listen({ address: ip("127.0.2.1"), network: b, port });
  return { dns, at: { address: "127.0.2.1", port }, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

const upstream = () => FakeUpstream.start((query) => [addressReply(query, ip("192.0.2.1"), 60)]);

test("a guest that asks a peer's gateway sees what its own network may see, not what the peer may", async () => {
  await using up = await upstream();
  await using s = await peers(up);
  const from = "127.0.1.5";
  assert.deepEqual(addressesOf(await ask(s.at, "inb.b.nexus", { from })), ["127.0.2.9"]);
  assert.equal(codeOf(await ask(s.at, "inc.c.nexus", { from })), 3);
  assert.equal(codeOf(await ask(s.at, "inc", { from })), 3);
  assert.deepEqual((await ask(s.at, "9.3.0.127.in-addr.arpa", { type: 12, from })).answers, []);
  assert.deepEqual(addressesOf(await ask(s.at, "inc", { from: "127.0.2.5" })), ["127.0.3.9"]);
});

test("a guest of an internal network gets nothing forwarded through a peer's gateway", async () => {
  await using up = await upstream();
  await using s = await peers(up);
  assert.equal(codeOf(await ask(s.at, "example.com", { from: "127.0.1.5" })), 5);
  assert.equal(up.queries.length, 0);
  assert.deepEqual(addressesOf(await ask(s.at, "example.com", { from: "127.0.3.5" })), ["192.0.2.1"]);
});

test("who belongs to none of our networks is served as the listener's network", async () => {
  await using up = await upstream();
  await using s = await peers(up);
  assert.deepEqual(addressesOf(await ask(s.at, "inc", { from: "127.0.0.1" })), ["127.0.3.9"]);
  s.dns.removeNetwork(a);
  assert.deepEqual(addressesOf(await ask(s.at, "inc", { from: "127.0.1.5" })), ["127.0.3.9"]);
});

test("a client is found by either family, the longest prefix first; link-local sources are nobody's", () => {
  const clients = new Clients();
  clients.set(a, [prefix("10.0.0.0/8"), prefix("fd00:1::/64")]);
  clients.set(b, [prefix("10.1.0.0/16")]);
  const own = (name: typeof a) => ({ kind: "own", network: name });
  assert.deepEqual(clients.of("10.1.2.3"), own(b));
  assert.deepEqual(clients.of("10.2.2.3"), own(a));
  assert.deepEqual(clients.of("fd00:1::5"), own(a));
  assert.deepEqual(clients.of("fd00:2::5"), { kind: "listener" });
  for (const link of ["fe80::1%nexus0", "fe80::1", "febf::1%x"]) assert.deepEqual(clients.of(link), { kind: "nobody" });
  clients.set(a, []);
  assert.deepEqual(clients.of("10.2.2.3"), { kind: "listener" });
});
