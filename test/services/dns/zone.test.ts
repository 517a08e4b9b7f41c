import assert from "node:assert/strict";
import { test } from "node:test";
import { WireError } from "../../../src/base/errors.ts";
import { ipFromBytes } from "../../../src/base/ip.ts";
import { nameFromText, nameToText } from "../../../src/wire/dns/name.ts";
import { reverseName, reverseZones } from "../../../src/services/dns/reverse.ts";
import { Zones } from "../../../src/services/dns/zone.ts";
import { guest, ip, network, prefix } from "./sample.ts";

const lan = network("lan");
const dmz = network("dmz");
const far = network("far");

/** lan sees dmz, dmz sees lan, far is alone. `db` is in dmz and far, `web` in lan and dmz. */
function sample(): Zones {
  const zones = new Zones({ domain: "nexus" });
  zones.setNetwork({
    network: lan,
    prefixes: [prefix("10.0.42.0/24"), prefix("fd00:42::/64")],
    gateways: [ip("10.0.42.1"), ip("fd00:42::1")],
    visible: [dmz],
  });
  zones.setNetwork({ network: dmz, prefixes: [prefix("10.0.16.0/20")], gateways: [ip("10.0.16.1")], visible: [lan] });
  zones.setNetwork({ network: far, prefixes: [prefix("192.168.7.128/25")], gateways: [ip("192.168.7.129")], visible: [] });
  zones.setRecords(lan, [guest("web", "10.0.42.5", "fd00:42::5"), guest("only4", "10.0.42.6")]);
  zones.setRecords(dmz, [guest("web", "10.0.17.5"), guest("db", "10.0.16.9"), guest("mail", "10.0.31.9")]);
  zones.setRecords(far, [guest("db", "192.168.7.130"), guest("secret", "192.168.7.131")]);
  return zones;
}

/** What `find` gives as one text: addresses, pointer targets, or the kind. */
function ask(zones: Zones, from: ReturnType<typeof network>, text: string): string {
  const found = zones.find(from, nameFromText(text));
  switch (found.kind) {
    case "name":
      return [...found.v4, ...found.v6].map((bytes) => ipFromBytes(bytes)).join(" ");
    case "pointer":
      return found.targets.map((target) => nameToText(Buffer.from(target).toString("latin1").slice(0, -1))).join(" ");
    default:
      return found.kind;
  }
}

test("a guest is found by its short and its full name", () => {
  const zones = sample();
  assert.equal(ask(zones, lan, "web"), "10.0.42.5 fd00:42::5");
  assert.equal(ask(zones, lan, "web.lan.nexus"), "10.0.42.5 fd00:42::5");
  assert.equal(ask(zones, lan, "only4.lan.nexus"), "10.0.42.6");
  assert.equal(ask(zones, lan, "gateway"), "10.0.42.1 fd00:42::1");
  assert.equal(ask(zones, lan, "gateway.dmz.nexus"), "10.0.16.1");
});

test("the names of a network that may be reached are seen, those of others do not exist", () => {
  const zones = sample();
  assert.equal(ask(zones, lan, "db.dmz.nexus"), "10.0.16.9");
  assert.equal(ask(zones, lan, "secret.far.nexus"), "absent");
  assert.equal(ask(zones, lan, "far.nexus"), "absent");
  assert.equal(ask(zones, lan, "dmz.nexus"), "empty");
  assert.equal(ask(zones, far, "web.lan.nexus"), "absent");
  zones.setVisible(lan, []);
  assert.equal(ask(zones, lan, "db.dmz.nexus"), "absent");
  assert.equal(ask(zones, dmz, "web.lan.nexus"), "10.0.42.5 fd00:42::5");
});

test("a short name means the own network first, then the one network that has it", () => {
  const zones = sample();
  assert.equal(ask(zones, dmz, "web"), "10.0.17.5");
  assert.equal(ask(zones, lan, "mail"), "10.0.31.9");
  assert.equal(ask(zones, lan, "db"), "10.0.16.9");
  zones.setVisible(lan, [dmz, far]);
  assert.equal(ask(zones, lan, "db"), "plain");
  assert.equal(ask(zones, far, "mail"), "plain");
});

test("addresses of our networks name their guests, for those who may see them", () => {
  const zones = sample();
  assert.equal(ask(zones, lan, "5.42.0.10.in-addr.arpa"), "web.lan.nexus");
  assert.equal(ask(zones, lan, nameToText(reverseName(ip("fd00:42::5")))), "web.lan.nexus");
  assert.equal(ask(zones, lan, "9.31.0.10.in-addr.arpa"), "mail.dmz.nexus");
  assert.equal(ask(zones, lan, "1.42.0.10.in-addr.arpa"), "gateway.lan.nexus");
  assert.equal(ask(zones, lan, "131.7.168.192.in-addr.arpa"), "absent");
  assert.equal(ask(zones, far, "131.7.168.192.in-addr.arpa"), "secret.far.nexus");
});

test("reverse names of our prefixes are ours, of other private ranges nobody's, of the rest the world's", () => {
  const zones = sample();
  assert.equal(ask(zones, lan, "77.42.0.10.in-addr.arpa"), "absent");
  assert.equal(ask(zones, lan, "42.0.10.in-addr.arpa"), "empty");
  assert.equal(ask(zones, lan, "x.5.42.0.10.in-addr.arpa"), "absent");
  assert.equal(ask(zones, lan, "1.32.0.10.in-addr.arpa"), "private");
  assert.equal(ask(zones, lan, "1.7.168.192.in-addr.arpa"), "private");
  assert.equal(ask(zones, lan, "8.8.8.8.in-addr.arpa"), "elsewhere");
  assert.equal(ask(zones, lan, nameToText(reverseName(ip("fd99::1")))), "private");
  assert.equal(ask(zones, lan, nameToText(reverseName(ip("2606:4700::1111")))), "elsewhere");
});

test("the domain is ours, single labels are no one else's, the rest is elsewhere", () => {
  const zones = sample();
  assert.equal(ask(zones, lan, "nexus"), "apex");
  assert.equal(ask(zones, lan, "nobody.lan.nexus"), "absent");
  assert.equal(ask(zones, lan, "a.web.lan.nexus"), "absent");
  assert.equal(ask(zones, lan, "nobody"), "plain");
  assert.equal(ask(zones, lan, "example.com"), "elsewhere");
  assert.equal(ask(zones, lan, "web.lan.nexus.com"), "elsewhere");
  assert.equal(ask(zones, lan, "."), "elsewhere");
  assert.equal(ask(zones, lan, "app.localhost"), "127.0.0.1 ::1");
});

test("a label that merely ends like the domain is not in it", () => {
  const zones = sample();
  assert.equal(zones.find(lan, "\x0babcde\x05nexus\x03com".slice(0, 12)).kind, "plain");
});

test("guests share an alias, and it stays until the last has gone", () => {
  const zones = sample();
  zones.addGuest(lan, { ...guest("a", "10.0.42.11"), aliases: [network("pool")] });
  zones.addGuest(lan, { ...guest("b", "10.0.42.12"), aliases: [network("pool")] });
  assert.equal(ask(zones, lan, "pool.lan.nexus"), "10.0.42.11 10.0.42.12");
  assert.equal(ask(zones, lan, "12.42.0.10.in-addr.arpa"), "b.lan.nexus");
  zones.removeGuest(lan, network("a"));
  assert.equal(ask(zones, lan, "pool"), "10.0.42.12");
  zones.removeGuest(lan, network("b"));
  assert.equal(ask(zones, lan, "pool"), "plain");
});

test("a guest of a project is SERVICE.PROJECT too, to whoever may see it", () => {
  const zones = sample();
  const project = (service: string) => ({ project: { service, name: "shop" } });
  zones.addGuest(lan, { ...guest("shop-web", "10.0.42.21"), ...project("web") });
  zones.addGuest(dmz, { ...guest("shop-web", "10.0.17.21"), ...project("web") });
  zones.addGuest(far, { ...guest("shop-db", "192.168.7.140"), ...project("db") });
  assert.equal(ask(zones, lan, "web.shop.nexus"), "10.0.42.21");
  assert.equal(ask(zones, dmz, "web.shop.nexus"), "10.0.17.21");
  assert.equal(ask(zones, far, "web.shop.nexus"), "absent");
  assert.equal(ask(zones, lan, "db.shop.nexus"), "absent");
  assert.equal(ask(zones, far, "db.shop.nexus"), "192.168.7.140");
  assert.equal(ask(zones, lan, "web.shop"), "elsewhere", "only in the domain");
  zones.removeGuest(lan, network("shop-web"));
  assert.equal(ask(zones, lan, "web.shop.nexus"), "10.0.17.21", "on a network that may be seen");
  zones.removeGuest(dmz, network("shop-web"));
  assert.equal(ask(zones, lan, "web.shop.nexus"), "absent");
});

test("a guest on two networks knows the names of both, by whichever it asks; its neighbours do not", () => {
  const zones = sample();
  const asks = (client: string, from: typeof lan, name: string) => {
    const found = zones.find(from, nameFromText(name), client);
    return found.kind === "name" ? [...found.v4].map((bytes) => ipFromBytes(bytes)).join(" ") : found.kind;
  };
  zones.addGuest(lan, guest("both", "10.0.42.30"));
  zones.addGuest(far, guest("both", "192.168.7.150"));
  assert.equal(asks("10.0.42.30", lan, "secret"), "192.168.7.131");
  assert.equal(asks("10.0.42.30", lan, "secret.far.nexus"), "192.168.7.131");
  assert.equal(asks("192.168.7.150", far, "only4"), "10.0.42.6");
  assert.equal(asks("10.0.42.30", lan, "db.dmz.nexus"), "10.0.16.9", "and those of peers");
  assert.equal(asks("10.0.42.5", lan, "secret"), "plain");
  assert.equal(asks("10.0.42.5", lan, "secret.far.nexus"), "absent");
  zones.removeGuest(far, network("both"));
  assert.equal(asks("10.0.42.30", lan, "secret"), "plain");
  // A guest may be called like the gateways, which are on every network.
  zones.addGuest(lan, guest("gateway", "10.0.42.31"));
  assert.equal(asks("10.0.42.31", lan, "secret"), "plain");
});

test("a changed guest answers with its new addresses alone, and its old ones name nobody", () => {
  const zones = sample();
  const serial = zones.serial;
  zones.addGuest(lan, guest("web", "10.0.42.50"));
  assert.equal(ask(zones, lan, "web"), "10.0.42.50");
  assert.equal(ask(zones, lan, "5.42.0.10.in-addr.arpa"), "absent");
  assert.equal(ask(zones, lan, "50.42.0.10.in-addr.arpa"), "web.lan.nexus");
  assert.ok(zones.serial > serial);
});

test("setting the same records again changes nothing", () => {
  const zones = sample();
  const serial = zones.serial;
  zones.setRecords(lan, [guest("web", "10.0.42.5", "fd00:42::5"), guest("only4", "10.0.42.6")]);
  assert.equal(zones.serial, serial);
});

test("a removed network leaves no name behind", () => {
  const zones = sample();
  zones.removeNetwork(dmz);
  for (const name of ["db.dmz.nexus", "gateway.dmz.nexus", "dmz.nexus"]) assert.equal(ask(zones, lan, name), "absent", name);
  assert.equal(ask(zones, lan, "db"), "plain");
  assert.equal(ask(zones, lan, "9.16.0.10.in-addr.arpa"), "private");
});

test("a guest called gateway takes that name", () => {
  const zones = sample();
  zones.addGuest(lan, guest("gateway", "10.0.42.99"));
  assert.equal(ask(zones, lan, "gateway"), "10.0.42.99");
  zones.removeGuest(lan, network("gateway"));
  assert.equal(ask(zones, lan, "gateway"), "10.0.42.1 fd00:42::1");
});

test("the domain may have several labels, but must leave room for names", () => {
  const zones = new Zones({ domain: "Guests.Example" });
  zones.setRecords(lan, [guest("web", "10.0.42.5")]);
  assert.equal(ask(zones, lan, "web.lan.guests.example"), "10.0.42.5");
  assert.equal(ask(zones, lan, "example"), "plain");
  assert.throws(() => new Zones({ domain: `${"x".repeat(63)}.${"y".repeat(63)}.z` }), WireError);
});

test("a prefix off the label boundary is as many reverse zones as it needs", () => {
  assert.deepEqual(reverseZones(prefix("10.0.42.0/24")).map(nameToText), ["42.0.10.in-addr.arpa"]);
  assert.deepEqual(reverseZones(prefix("10.0.16.0/22")).map(nameToText), [
    "16.0.10.in-addr.arpa",
    "17.0.10.in-addr.arpa",
    "18.0.10.in-addr.arpa",
    "19.0.10.in-addr.arpa",
  ]);
  assert.equal(reverseZones(prefix("192.168.7.128/25")).length, 128);
  assert.deepEqual(reverseZones(prefix("fc00::/7")).map(nameToText), ["c.f.ip6.arpa", "d.f.ip6.arpa"]);
});
