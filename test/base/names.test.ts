import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { flipFirstOctet, linkLocalOf, macFromBytes, macFromHash, macToBytes, parseMac } from "../../src/base/mac.ts";
import { isFault, parseIfName, parseName } from "../../src/base/names.ts";
import { parsePort } from "../../src/base/port.ts";

test("interface names are those the kernel takes, of plain characters", () => {
  for (const good of ["eth0", "nx-blue", "a", "br0.100", "_x", "123456789012345"]) assert.equal(parseIfName(good), good);
  for (const [bad, why] of Object.entries({
    "": /empty/,
    "1234567890123456": /16 bytes.*at most 15/,
    "a/b": /characters/,
    "a:b": /characters/,
    "a b": /characters/,
    ".": /characters/,
    "..": /characters/,
    "-x": /characters/,
    "eth%d": /characters/,
    ä: /characters/,
    "eth0\n": /characters/,
    all: /reserved/,
    default: /reserved/,
  })) {
    const result = parseIfName(bad);
    assert.ok(isFault(result), bad);
    assert.match(result.fault, why);
  }
});

test("names are DNS labels in lower case", () => {
  for (const good of ["a", "web-1", "0", "node-001", "a".repeat(63)]) assert.equal(parseName(good), good);
  for (const bad of ["", "A", "-a", "a-", "a_b", "a.b", "a b", "a\n", "ä", "a".repeat(64)]) assert.ok(isFault(parseName(bad)), bad);
});

test("MAC addresses are read in both common forms and written in one", () => {
  assert.equal(parseMac("02:00:5E:10:00:FF"), "02:00:5e:10:00:ff");
  assert.equal(parseMac("02-00-5e-10-00-ff"), "02:00:5e:10:00:ff");
  for (const bad of [
    "",
    "02:00:5e:10:00",
    "02:00:5e:10:00:ff:00",
    "2:0:5e:10:0:ff",
    "02005e1000ff",
    "0g:00:5e:10:00:ff",
    "02:00:5e:10:00:ff\n",
  ])
    assert.equal(parseMac(bad), undefined, bad);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = macFromBytes(bytes);
      assert.deepEqual(macToBytes(mac), bytes);
      assert.equal(parseMac(mac), mac);
      assert.deepEqual(macToBytes(flipFirstOctet(mac, 0x04)), bytes.with(0, (bytes[0] ?? 0) ^ 0x04));
    }),
  );
  assert.throws(() => macFromBytes(new Uint8Array(5)), RangeError);
});

test("a MAC made from a hash is unicast and locally administered", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 32 }), (hash) => assert.equal((macToBytes(macFromHash(hash))[0] ?? 0) & 3, 2)),
  );
  assert.equal(macFromHash(Uint8Array.of(0xff, 1, 2, 3, 4, 5, 6)), "fe:01:02:03:04:05");
});

test("the link-local address of a MAC is its modified EUI-64", () => {
  // RFC 4291 appendix A, and what Linux gives an interface with this address.
  assert.equal(linkLocalOf(parseMac("34:56:78:9a:bc:de")!), "fe80::3656:78ff:fe9a:bcde");
  assert.equal(linkLocalOf(parseMac("02:00:00:00:00:01")!), "fe80::ff:fe00:1");
});

test("ports are 1-65535, in plain decimal", () => {
  for (const good of ["1", "80", "65535", 1, 65535]) assert.equal(parsePort(good), Number(good));
  for (const bad of ["", "0", "080", "65536", "99999", "-1", "1.5", "1e3", " 80", "80\n", 0, -1, 65536, 1.5, Number.NaN])
    assert.equal(parsePort(bad), undefined, String(bad));
});
