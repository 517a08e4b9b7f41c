import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { ipFromBigint, parseIp } from "../../src/base/ip.ts";
import {
  addressAt,
  makeCidr,
  makePrefix,
  networkOf,
  parseCidr,
  parsePrefix,
  type Prefix,
  prefixAddress,
  prefixContains,
  prefixesOverlap,
  prefixFamily,
  prefixLength,
  prefixRange,
} from "../../src/base/prefix.ts";

test("a prefix is canonical text, and what is wrong with another is told", () => {
  for (const good of ["10.0.42.0/24", "0.0.0.0/0", "10.1.2.3/32", "fd42::/64", "::/0", "fd42::1/128", "::ffff:1.2.3.0/120"])
    assert.equal(parsePrefix(good), good);
  assert.equal(parsePrefix("FD42:0::/64"), "fd42::/64");
  assert.deepEqual(parsePrefix("10.0.42.1/24"), { fault: "host-bits", meant: "10.0.42.0/24" });
  assert.deepEqual(parsePrefix("fd42::1/64"), { fault: "host-bits", meant: "fd42::/64" });
  for (const text of ["10.0.0.0/33", "::/129", "10.0.0.0/999"]) assert.deepEqual(parsePrefix(text), { fault: "length" }, text);
  for (const text of [
    "",
    "/",
    "10.0.0.0",
    "10.0.0.0/",
    "/24",
    "10.0.0/24",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "10.0.0.0/24 ",
    "10.0.0.0/24/24",
    "10.0.0.0/255.255.255.0",
  ]) {
    assert.deepEqual(parsePrefix(text), { fault: "syntax" }, text);
  }
});

test("an address with its length keeps its host bits", () => {
  assert.equal(parseCidr("10.0.42.1/24"), "10.0.42.1/24");
  assert.equal(networkOf(parseCidr("10.0.42.1/24")!), "10.0.42.0/24");
  assert.equal(parseCidr("10.0.42.1"), undefined);
  assert.equal(prefixAddress(makeCidr(parseIp("fd42::1")!, 64)), "fd42::1");
  for (const length of [-1, 33, 1.5]) {
    assert.throws(() => makeCidr(parseIp("10.0.0.1")!, length), RangeError);
    assert.throws(() => makePrefix(parseIp("10.0.0.1")!, length), RangeError);
  }
});

test("ranges and numbered addresses stay inside", () => {
  const net = parsePrefix("10.0.42.0/30") as Prefix;
  assert.deepEqual(
    [0n, 1n, 2n, 3n].map((n) => addressAt(net, n)),
    ["10.0.42.0", "10.0.42.1", "10.0.42.2", "10.0.42.3"],
  );
  for (const n of [-1n, 4n]) assert.throws(() => addressAt(net, n), RangeError);
  assert.deepEqual(prefixRange(parsePrefix("0.0.0.0/0") as Prefix), { first: 0n, last: 0xffffffffn });
});

const anyPrefix = fc.oneof(
  fc
    .record({ value: fc.nat(0xffffffff), length: fc.nat(32) })
    .map(({ value, length }) => makePrefix(ipFromBigint(4, BigInt(value)), length)),
  fc
    .record({ value: fc.bigInt(0n, (1n << 128n) - 1n), length: fc.nat(128) })
    .map(({ value, length }) => makePrefix(ipFromBigint(6, value), length)),
);

test("containing agrees with Node's BlockList, overlapping with containing", () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, fc.nat(), (a, b, n) => {
      assert.equal(parsePrefix(a), a);
      const family = (p: Prefix) => (prefixFamily(p) === 4 ? "ipv4" : "ipv6");
      const inside = addressAt(a, BigInt(n) % (prefixRange(a).last - prefixRange(a).first + 1n));
      assert.ok(prefixContains(a, inside));
      // BlockList takes 1-32 and 1-128, and looks for IPv4 behind mapped IPv6 addresses.
      if (prefixLength(b) > 0 && !inside.startsWith("::ffff:") && !b.startsWith("::ffff:")) {
        const list = new BlockList();
        list.addSubnet(prefixAddress(b), prefixLength(b), family(b));
        if (family(a) === family(b)) assert.equal(prefixContains(b, inside), list.check(inside, family(a)));
      }
      const starts = (x: Prefix, y: Prefix) => prefixContains(x, prefixAddress(y));
      assert.equal(prefixesOverlap(a, b), starts(a, b) || starts(b, a));
    }),
  );
});
