import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NexusError } from "../../src/base/errors.ts";
import { ipFromBigint } from "../../src/base/ip.ts";
import { makePrefix, parsePrefix, type Prefix, prefixesOverlap, prefixLength } from "../../src/base/prefix.ts";
import { automaticRange, checkSubnet, pickSubnet, type TakenPrefix, ulaPrefix } from "../../src/plan/subnets.ts";

test("the first free /24 is taken, around routes and networks of any size", () => {
  assert.equal(pickSubnet([]), "172.16.0.0/24");
  assert.equal(pickSubnet(routes("172.16.0.0/24", "172.16.1.128/25", "172.17.0.0/16", "10.0.0.0/8")), "172.16.2.0/24");
  assert.equal(pickSubnet(routes("172.16.0.0/13", "172.24.0.9/32")), "172.24.1.0/24");
});

test("4,096 automatic networks fit, and then the range is exhausted", () => {
  const taken: TakenPrefix[] = [];
  for (let n = 0; n < 4096; n++) {
    const subnet = makePrefix(ipFromBigint(4, (172n << 24n) + (16n << 16n) + BigInt(n) * 256n), 24);
    if (n % 97 === 0) assert.equal(pickSubnet(taken), subnet);
    taken.push({ prefix: subnet, by: `network ${n}` });
  }
  assert.throws(
    () => pickSubnet(taken),
    (error) => error instanceof NexusError && error.code === "pool-exhausted" && /172\.16\.0\.0\/12/.test(error.message),
  );
  assert.throws(() => pickSubnet(routes("172.16.0.0/12")), NexusError);
});

test("default routes, whole or split as VPNs do, take no subnet", () => {
  assert.equal(pickSubnet(routes("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "172.0.0.0/6")), "172.16.0.0/24");
  checkSubnet(prefix("fd42::/64"), routes("::/0", "2000::/3"));
});

test("an overlap names what it overlaps", () => {
  const taken = [
    ...routes("10.0.0.0/16"),
    { prefix: prefix("10.0.42.0/24"), by: "network blue" },
    { prefix: prefix("10.1.0.0/16"), by: "network far" },
  ];
  assert.throws(
    () => checkSubnet(prefix("10.0.42.128/25"), taken),
    (error) => {
      assert.ok(error instanceof NexusError && error.code === "subnet-overlap");
      assert.match(error.message, /10\.0\.0\.0\/16 \(route via eth0\), 10\.0\.42\.0\/24 \(network blue\)$/);
      return true;
    },
  );
  checkSubnet(prefix("10.2.0.0/16"), taken);
});

test("over 10,000 random sets of routes, the picked subnet overlaps none, and is the first that does not", () => {
  const inRange = fc
    .record({ offset: fc.nat(2 ** 20 - 1), length: fc.integer({ min: 13, max: 32 }) })
    .map(({ offset, length }) => makePrefix(ipFromBigint(4, 0xac100000n + BigInt(offset)), length));
  const near = fc
    .record({ offset: fc.nat(4000), length: fc.integer({ min: 20, max: 32 }) })
    .map(({ offset, length }) => makePrefix(ipFromBigint(4, 0xac100000n + BigInt(offset)), length));
  const anywhere = fc
    .record({ value: fc.nat(2 ** 31 - 1), length: fc.integer({ min: 0, max: 32 }) })
    .map(({ value, length }) => makePrefix(ipFromBigint(4, BigInt(value) * 2n), length));
  fc.assert(
    fc.property(fc.array(fc.oneof(near, inRange, anywhere), { maxLength: 24 }), (prefixes) => {
      const taken = routes(...prefixes);
      const real = prefixes.filter((route) => prefixLength(route) >= 8);
      let picked: Prefix;
      try {
        picked = pickSubnet(taken);
      } catch (error) {
        assert.ok(error instanceof NexusError && error.code === "pool-exhausted");
        return;
      }
      assert.ok(prefixesOverlap(picked, automaticRange));
      assert.ok(
        real.every((route) => !prefixesOverlap(route, picked)),
        picked,
      );
      checkSubnet(picked, taken);
      for (let at = 0xac100000n; ; at += 256n) {
        const earlier = makePrefix(ipFromBigint(4, at), 24);
        if (earlier === picked) break;
        assert.ok(
          real.some((route) => prefixesOverlap(route, earlier)),
          `${earlier} was free before ${picked}`,
        );
        if (at > 0xac100000n + 256n * 40n) break;
      }
    }),
    { numRuns: 10_000 },
  );
});

test("a unique-local /64 holds the host's 40 bits and the network's index", () => {
  assert.equal(ulaPrefix(0x0123456789n, 1), "fd01:2345:6789:1::/64");
  assert.equal(ulaPrefix(0xffffffffffn, 0xffff), "fdff:ffff:ffff:ffff::/64");
  assert.equal(ulaPrefix(0n, 2), "fd00:0:0:2::/64");
  assert.throws(() => ulaPrefix(1n, 65536), NexusError);
  assert.throws(() => ulaPrefix(1n << 40n, 1), RangeError);
});

function routes(...prefixes: string[]): TakenPrefix[] {
  return prefixes.map((text) => ({ prefix: prefix(text), by: "route via eth0" }));
}

function prefix(text: string): Prefix {
  const value = parsePrefix(text);
  assert.ok(typeof value === "string", text);
  return value;
}
