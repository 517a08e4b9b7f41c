import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import type { NexusError } from "../../../src/base/errors.ts";
import type { Port } from "../../../src/base/port.ts";
import { DnsServer, type DnsServerOptions } from "../../../src/services/dns/server.ts";
import { dig, type Server } from "./client.ts";
import { freePort, guest, ip, network, prefix } from "./sample.ts";

const lan = network("lan");

async function serving(options: DnsServerOptions = {}): Promise<{ dns: DnsServer; at: Server & { port: Port } } & AsyncDisposable> {
  const dns = new DnsServer({ resolvConf: "/dev/null", ...options });
  dns.setNetwork({
    network: lan,
    prefixes: [prefix("10.0.42.0/24"), prefix("fd00:42::/64")],
    gateways: [ip("10.0.42.1")],
    visible: [],
    forward: false,
  });
  dns.setRecords(lan, [guest("web", "10.0.42.5", "fd00:42::5"), guest("only4", "10.0.42.6")]);
  const at = { address: "127.0.0.1", port: await freePort("127.0.0.1") };
  await dns.listen({ address: ip(at.address), network: lan, port: at.port });
  return { dns, at, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

test("dig finds a guest by both its names, both families, and by its address", async () => {
  await using s = await serving();
  assert.deepEqual((await dig(s.at, "web.lan.nexus", "A")).answers, ["web.lan.nexus. 0 IN A 10.0.42.5"]);
  assert.deepEqual((await dig(s.at, "WEB", "AAAA")).answers, ["WEB. 0 IN AAAA fd00:42::5"]);
  assert.deepEqual((await dig(s.at, "-x", "10.0.42.5")).answers, ["5.42.0.10.in-addr.arpa. 0 IN PTR web.lan.nexus."]);
  assert.deepEqual(
    (await dig(s.at, "-x", "fd00:42::5")).answers.map((line) => line.split(" ").at(-1)),
    ["web.lan.nexus."],
  );
  assert.equal((await dig(s.at, "web.lan.nexus", "A")).flags, "qr aa rd");
});

test("dig sees the same over TCP, and several queries on one connection", async () => {
  await using s = await serving();
  const { text } = await dig(s.at, "+tcp", "+keepopen", "web.lan.nexus", "A", "only4.lan.nexus", "A");
  assert.match(text, /10\.0\.42\.5[\s\S]*10\.0\.42\.6/);
});

test("a listener on an IPv6 address answers too", async () => {
  await using s = await serving();
  const at = { address: "::1", port: await freePort("::1") };
  await s.dns.listen({ address: ip("::1"), network: lan, port: at.port });
  assert.deepEqual((await dig(at, "web", "A")).answers, ["web. 0 IN A 10.0.42.5"]);
  assert.deepEqual((await dig(at, "+tcp", "web", "A")).answers, ["web. 0 IN A 10.0.42.5"]);
});

test("a name without records of the type is NODATA, an unknown name NXDOMAIN, both with the SOA", async () => {
  await using s = await serving();
  const soa = /^nexus\. 0 IN SOA gateway\.lan\.nexus\. hostmaster\.nexus\. \d+ 3600 600 86400 0$/;
  const nodata = await dig(s.at, "only4.lan.nexus", "AAAA");
  assert.deepEqual([nodata.status, nodata.answers], ["NOERROR", []]);
  assert.match(nodata.authority[0] ?? "", soa);
  const absent = await dig(s.at, "nobody.lan.nexus", "A");
  assert.equal(absent.status, "NXDOMAIN");
  assert.match(absent.authority[0] ?? "", soa);
  const reverse = await dig(s.at, "-x", "10.0.42.77");
  assert.equal(reverse.status, "NXDOMAIN");
  assert.match(reverse.authority[0] ?? "", /^42\.0\.10\.in-addr\.arpa\. 0 IN SOA /);
  assert.equal((await dig(s.at, "nobody", "A")).status, "NXDOMAIN");
});

test("the domain has an SOA and a name server of its own", async () => {
  await using s = await serving();
  assert.match((await dig(s.at, "nexus", "SOA")).answers[0] ?? "", /^nexus\. 0 IN SOA gateway\.lan\.nexus\./);
  assert.deepEqual((await dig(s.at, "nexus", "NS")).answers, ["nexus. 0 IN NS gateway.lan.nexus."]);
  assert.deepEqual((await dig(s.at, "gateway.lan.nexus", "A")).answers, ["gateway.lan.nexus. 0 IN A 10.0.42.1"]);
});

test("what is not served is refused: ANY, transfers, other classes, names outside when nothing is forwarded", async () => {
  await using s = await serving();
  assert.equal((await dig(s.at, "+notcp", "web.lan.nexus", "ANY")).status, "REFUSED");
  assert.equal((await dig(s.at, "version.bind", "CH", "TXT")).status, "REFUSED");
  assert.equal((await dig(s.at, "example.com", "A")).status, "REFUSED");
  assert.match((await dig(s.at, "nexus", "AXFR")).text, /Transfer failed/);
});

test("an unknown operation is not implemented, an unknown EDNS version BADVERS", async () => {
  await using s = await serving();
  assert.equal((await dig(s.at, "+opcode=status", "web", "A")).status, "NOTIMP");
  assert.equal((await dig(s.at, "+edns=1", "+noednsneg", "web", "A")).status, "BADVERS");
  assert.match((await dig(s.at, "web", "A")).text, /EDNS: version: 0, flags:; udp: 1232/);
  assert.doesNotMatch((await dig(s.at, "+noedns", "web", "A")).text, /OPT PSEUDOSECTION/);
});

test("a reply larger than the client takes is truncated, and whole over TCP", async () => {
  await using s = await serving();
  s.dns.setRecords(
    lan,
    Array.from({ length: 60 }, (_, i) => ({ ...guest(`w${i}`, `10.0.42.${i + 10}`), aliases: [network("pool")] })),
  );
  const cut = await dig(s.at, "+noedns", "+ignore", "pool.lan.nexus", "A");
  assert.match(cut.flags, /tc/);
  assert.equal(cut.answers.length, 0);
  assert.equal((await dig(s.at, "+bufsize=700", "+ignore", "pool.lan.nexus", "A")).answers.length, 0);
  assert.equal((await dig(s.at, "+bufsize=1232", "+ignore", "pool.lan.nexus", "A")).answers.length, 60);
  const retried = await dig(s.at, "+noedns", "pool.lan.nexus", "A");
  assert.equal(retried.answers.length, 60);
  assert.match(retried.text, /\(TCP\)/);
});

test("several addresses take turns at the first place", async () => {
  await using s = await serving();
  s.dns.setRecords(lan, [guest("web", "10.0.42.5", "10.0.42.6")]);
  const firsts = new Set<string | undefined>();
  for (let i = 0; i < 4; i++) firsts.add((await dig(s.at, "+short", "web.lan.nexus", "A")).text.split("\n")[0]);
  assert.equal(firsts.size, 2);
});

test("a change is in the very next reply", async () => {
  await using s = await serving();
  s.dns.addGuest(lan, guest("late", "10.0.42.9"));
  assert.deepEqual((await dig(s.at, "late", "A")).answers, ["late. 0 IN A 10.0.42.9"]);
  s.dns.removeGuest(lan, network("late"));
  assert.equal((await dig(s.at, "late", "A")).status, "NXDOMAIN");
});

test("a port that is taken is refused with the holder's name", async () => {
  const dns = new DnsServer({ resolvConf: "/dev/null" });
  await using _ = dns;
  const port = await freePort("127.0.0.1");
  const socket = createSocket("udp4");
  socket.bind(port, "0.0.0.0");
  await once(socket, "listening");
  await assert.rejects(dns.listen({ address: ip("127.0.0.1"), network: lan, port }), (error: NexusError) => {
    assert.equal(error.code, "port-taken");
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}/udp.*\\(pid ${process.pid}\\)`));
    return true;
  });
  socket.close();
  await once(socket, "close");
  await dns.listen({ address: ip("127.0.0.1"), network: lan, port });
});

test("an address no interface has is refused, and listening there may be tried again", async () => {
  await using dns = new DnsServer({ resolvConf: "/dev/null" });
  for (const address of ["192.0.2.77", "2001:db8::77"]) {
    await assert.rejects(dns.listen({ address: ip(address), network: lan, port: await freePort("127.0.0.1") }), { code: "wrong-state" });
  }
});

test("listening twice is one listener, and after unlisten the address is free", async () => {
  await using s = await serving();
  await s.dns.listen({ address: ip(s.at.address), network: lan, port: s.at.port });
  s.dns.unlisten(ip(s.at.address));
  s.dns.unlisten(ip(s.at.address));
  const socket = createSocket("udp4");
  socket.bind(s.at.port, s.at.address);
  await once(socket, "listening");
  socket.close();
});

test("replies are counted by their code", async () => {
  await using s = await serving();
  await dig(s.at, "web", "A");
  await dig(s.at, "nobody.lan.nexus", "A");
  await dig(s.at, "example.com", "A");
  const { queries, local, refused, codes } = s.dns.metrics();
  assert.deepEqual(
    { queries, local, refused, noError: codes[0], absent: codes[3] },
    { queries: 3, local: 3, refused: 1, noError: 1, absent: 1 },
  );
});
