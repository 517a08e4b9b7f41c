import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { compareIp, ipFamily, ipFromBigint, ipFromBytes, ipToBigint, ipToBytes, parseIp } from "../../src/base/ip.ts";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../../src/base/ipv4.ts";
import { ipv6FromBigint, ipv6ToBigint, parseIpv6 } from "../../src/base/ipv6.ts";

const anyIpv4 = fc.nat(0xffffffff).map((n) => ipv4FromNumber(n));
/** Groups are often zero, so that every shape of "::" comes up. */
const anyIpv6 = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0xffff) }), { minLength: 8, maxLength: 8 })
  .map((groups) => ipv6FromBigint(groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n)));

test("IPv4 text is four plain decimal octets and nothing else", () => {
  for (const good of ["0.0.0.0", "1.2.3.4", "255.255.255.255"]) assert.equal(parseIpv4(good), good);
  const bad = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.4\n",
    "0x1.2.3.4",
    "1.2.3.-4",
    "1..2.3",
    "١.2.3.4",
    "1.2.3.4/8",
  ];
  for (const text of bad) assert.equal(parseIpv4(text), undefined, text);
});

test("IPv6 text is written as RFC 5952 says", () => {
  const vectors: Record<string, string> = {
    "2001:0db8:0000:0000:0001:0000:0000:0001": "2001:db8::1:0:0:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:db8::0:1": "2001:db8::1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:aaaa:bbbb:cccc:dddd:eeee:AAAA": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa",
    "2001:DB8:0:0:8:800:200C:417A": "2001:db8::8:800:200c:417a",
    "0:0:0:0:0:0:0:0": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "1::": "1::",
    "1:0:0:0:0:0:0:0": "1::",
    "::2:3:4:5:6:7:8": "0:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0",
    "::ffff:1.2.3.4": "::ffff:1.2.3.4",
    "::ffff:102:304": "::ffff:1.2.3.4",
    "0:0:0:0:0:FFFF:129.144.52.38": "::ffff:129.144.52.38",
    "::1.2.3.4": "::102:304",
    "::13.1.68.3": "::d01:4403",
    "64:ff9b::192.0.2.33": "64:ff9b::c000:221",
    "1::2:3.4.5.6": "1::2:304:506",
    "1:2:3:4:5:6:7.8.9.10": "1:2:3:4:5:6:708:90a",
    "fe80::0.0.0.1": "fe80::1",
  };
  for (const [text, canonical] of Object.entries(vectors)) assert.equal(parseIpv6(text), canonical, text);
});

test("text that is no IPv6 address is refused", () => {
  const bad = [
    ..."|:|:::|1|1:2|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|1::2::3|:1::2|1::2:|12345::|g::|fe80::1%eth0|::1/64| ::1|::1\n".split("|"),
    ..."1.2.3.4|::1.2.3|::1.2.3.4.5|::256.1.1.1|::01.2.3.4|:::1.2.3.4|1:2:3:4:5:6:7:1.2.3.4|1:2:3:4:5:6::1.2.3.4|::1.2.3.4:5|:1.2.3.4|1.2.3.4::|1:2:3:4:5:1.2.3.4".split(
      "|",
    ),
    "[::1]",
  ];
  for (const text of bad) assert.equal(parseIpv6(text), undefined, JSON.stringify(text));
});

test("what parses as an address is what Node's own parser takes, zones aside", () => {
  const piece = fc.constantFrom("0", "1", "ffff", "12345", "::", ":", ".", "1.2.3.4", "255", "256", "00", "A", "g", "");
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
        fc.array(piece, { maxLength: 9 }).map((parts) => parts.join(":")),
      ),
      (text) => {
        const parsed = parseIp(text);
        assert.equal(parsed === undefined ? 0 : ipFamily(parsed), isIP(text), text);
      },
    ),
    { numRuns: 5000 },
  );
});

test("any text gives an address or undefined", () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(parseIp(text) === undefined, isIP(text) === 0 || text.includes("%"))));
});

test("addresses survive the way to numbers, bytes and text", () => {
  fc.assert(
    fc.property(fc.oneof(anyIpv4, anyIpv6), (address) => {
      assert.equal(parseIp(address), address);
      assert.equal(ipFromBigint(ipFamily(address), ipToBigint(address)), address);
      assert.equal(ipFromBytes(ipToBytes(address)), address);
    }),
  );
  fc.assert(fc.property(anyIpv6, (address) => assert.equal(new URL(`http://[${address}]/`).hostname, `[${mappedAsHex(address)}]`)));
});

test("numbers out of range are refused", () => {
  for (const value of [-1, 2 ** 32, 1.5, Number.NaN]) assert.throws(() => ipv4FromNumber(value), RangeError);
  for (const value of [-1n, 1n << 128n]) assert.throws(() => ipv6FromBigint(value), RangeError);
  for (const length of [0, 3, 5, 15, 17]) assert.throws(() => ipFromBytes(new Uint8Array(length)), RangeError);
  assert.throws(() => ipFromBigint(4, 1n << 32n), RangeError);
});

test("addresses sort by number, IPv4 first", () => {
  const sorted = ["9.0.0.0", "10.0.0.0", "10.0.0.1", "::", "::9", "::10", "fe80::1"].map((text) => parseIp(text)!);
  assert.deepEqual(sorted.toReversed().sort(compareIp), sorted);
  fc.assert(
    fc.property(anyIpv4, anyIpv4, (a, b) => assert.equal(Math.sign(compareIp(a, b)), Math.sign(ipv4ToNumber(a) - ipv4ToNumber(b)))),
  );
  assert.equal(ipv6ToBigint(parseIpv6("::1")!), 1n);
});

/** URL writes mapped addresses in hex; RFC 5952 §5 asks for dots. */
function mappedAsHex(address: string): string {
  const match = /^::ffff:(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (match === null) return address;
  const [a = 0, b = 0, c = 0, d = 0] = match.slice(1).map(Number);
  return `::ffff:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
