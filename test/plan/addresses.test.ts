import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ErrorCode, NexusError, SpecError } from "../../src/base/errors.ts";
import { type Ip, ipFromBigint, ipToBigint, parseIp } from "../../src/base/ip.ts";
import { addressAt, makePrefix, parsePrefix, type Prefix, prefixContains, prefixFamily, prefixRange } from "../../src/base/prefix.ts";
import { type AddressWish, allocate } from "../../src/plan/addresses.ts";
import { Pool } from "../../src/plan/pool.ts";

test("addresses come lowest first, around the gateway and reserved ranges", () => {
  const small = pool("10.0.42.0/29", { gateway: ip("10.0.42.3"), reserved: [prefix("10.0.42.4/31")] });
  assert.deepEqual(take(small, 3), ["10.0.42.1", "10.0.42.2", "10.0.42.6"]);
  assert.equal(small.size, 3);
  fails(() => allocate([small], wish("late")), "pool-exhausted", /10\.0\.42\.0\/29 has 3 of 3 addresses leased/);
});

test("the first guest of the default network gets 10.0.42.2", () => {
  assert.equal(allocate([pool("10.0.42.0/24")], wish("node-001")), "10.0.42.2");
});

test("an address that cools is nobody else's, but its last holder may have it back", () => {
  const net = pool("10.0.42.0/24");
  const first = allocate([net], wish("web"));
  net.cool(first);
  assert.equal(net.leased, 0);
  assert.equal(allocate([net], wish("app")), "10.0.42.3");
  fails(() => allocate([net], wish("app2", { request: first })), "address-taken", /web/);
  assert.equal(allocate([net], wish("web", { request: first })), first);
  assert.equal(net.isCooling(first), false);
  net.cool(first);
  assert.equal(net.release(first), true);
  assert.equal(allocate([net], wish("late")), first);
});

test("IPv6 addresses start at ::10, in a subnet with room for that", () => {
  assert.deepEqual(take(pool("fd42::/64"), 2), ["fd42::10", "fd42::11"]);
  assert.deepEqual(take(pool("fd42::/126"), 2), ["fd42::2", "fd42::3"]);
  assert.equal(pool("fd42::/64").gateway, "fd42::1");
});

test("virtual machines get .10 to .250 of a /24, or what range was said, around what is reserved in it", () => {
  const dhcp = (from: Pool, owner: string) => allocate([from], wish(owner, { part: "dhcp" }));
  const usual = pool("10.0.42.0/24");
  assert.deepEqual(usual.dhcpRange, { from: "10.0.42.10", to: "10.0.42.250" });
  assert.deepEqual([dhcp(usual, "a"), dhcp(usual, "b"), allocate([usual], wish("container"))], ["10.0.42.10", "10.0.42.11", "10.0.42.2"]);
  const own = pool("10.0.42.0/24", {
    gateway: ip("10.0.42.101"),
    reserved: [prefix("10.0.42.102/31")],
    dhcpRange: { from: ip("10.0.42.100"), to: ip("10.0.42.105") },
  });
  assert.deepEqual([dhcp(own, "a"), dhcp(own, "b"), dhcp(own, "c")], ["10.0.42.100", "10.0.42.104", "10.0.42.105"]);
  fails(
    () => dhcp(own, "late"),
    "pool-exhausted",
    /in network default: all of 10\.0\.42\.100 to 10\.0\.42\.105 is taken, the range for DHCP in 10\.0\.42\.0\/24/,
  );
  assert.equal(allocate([own], wish("late", { part: "dhcp", request: ip("10.0.42.7") })), "10.0.42.7", "beside it, when asked");
});

test("a subnet too small for .10 to .250 gives virtual machines what it has, and says how full it is", () => {
  const small = pool("10.0.42.0/29");
  assert.deepEqual(
    ["a", "b", "c", "d", "e"].map((owner) => allocate([small], wish(owner, { part: "dhcp" }))),
    ["10.0.42.2", "10.0.42.3", "10.0.42.4", "10.0.42.5", "10.0.42.6"],
  );
  fails(() => allocate([small], wish("late", { part: "dhcp" })), "pool-exhausted", /10\.0\.42\.0\/29 has 5 of 5 addresses leased/);
  assert.equal(allocate([pool("fd42::/64")], wish("six", { family: 6, part: "dhcp" })), "fd42::10");
  fails(() => pool("10.0.42.0/24", { dhcpRange: { from: ip("10.0.41.1"), to: ip("10.0.42.9") } }), "address-outside", /10\.0\.41\.1/);
});

test("a requested address is taken or refused with the reason, never replaced by another", () => {
  const net = pool("10.0.42.0/24", { reserved: [prefix("10.0.42.128/25")] });
  assert.equal(allocate([net], wish("a", { request: ip("10.0.42.77") })), "10.0.42.77");
  assert.equal(allocate([net], wish("a", { request: ip("10.0.42.77") })), "10.0.42.77", "asking again changes nothing");
  const ask = (text: string) => () => allocate([net], wish("b", { request: ip(text) }));
  fails(ask("10.0.42.77"), "address-taken", /leased to a$/);
  fails(ask("10.0.42.1"), "address-outside", /is the gateway of 10\.0\.42\.0\/24/);
  fails(ask("10.0.42.0"), "address-outside", /is the network address/);
  fails(ask("10.0.42.255"), "address-outside", /is the broadcast address/);
  fails(ask("10.0.42.200"), "address-outside", /in the reserved range 10\.0\.42\.128\/25/);
  fails(ask("10.0.43.5"), "address-outside", /outside network default, which has 10\.0\.42\.0\/24/);
  fails(ask("fd00::5"), "address-outside", /which has no IPv6 subnet/);
  fails(() => allocate([pool("fd42::/64")], wish("b", { family: 6, request: ip("fd42::") })), "address-outside", /subnet-router anycast/);
  assert.equal(net.leased, 1);
});

test("an owner gets its remembered address back while it is free, else the lowest", () => {
  const net = pool("10.0.42.0/24");
  assert.equal(allocate([net], wish("a", { remembered: ip("10.0.42.9") })), "10.0.42.9");
  assert.equal(allocate([net], wish("b", { remembered: ip("10.0.42.9") })), "10.0.42.2");
  for (const unusable of ["10.0.42.1", "10.9.9.9", "fd00::1"])
    assert.notEqual(allocate([net], wish(unusable, { remembered: ip(unusable) })), unusable);
});

test("a second subnet is used when the first is full, and the family is kept", () => {
  const pools = [pool("10.1.0.0/30"), pool("fd42::/64"), pool("10.2.0.0/30")];
  const one = (owner: string, family: 4 | 6) => allocate(pools, wish(owner, { family }));
  assert.deepEqual([one("a", 4), one("a", 6), one("b", 4)], ["10.1.0.2", "fd42::10", "10.2.0.2"]);
  fails(() => one("c", 4), "pool-exhausted", /10\.1\.0\.0\/30 has 1 of 1 addresses leased, 10\.2\.0\.0\/30 has 1 of 1/);
  pools[0]?.release(ip("10.1.0.2"));
  assert.equal(one("c", 4), "10.1.0.2");
  fails(() => allocate([pools[0] as Pool], wish("d", { family: 6 })), "pool-exhausted", /it has no IPv6 subnet/);
});

test("subnets that cannot serve guests are refused when the network is made", () => {
  for (const text of ["10.0.0.0/31", "10.0.0.1/32", "fd00::/127", "fd00::1/128"]) {
    assert.throws(
      () => pool(text),
      (error) => error instanceof SpecError && /no address left for a guest/.test(error.message),
      text,
    );
  }
  for (const text of ["127.1.0.0/16", "0.0.0.0/0", "169.254.9.0/24", "239.0.0.0/24", "fe80::/64", "ff05::/64", "::/64"]) {
    assert.throws(() => pool(text), SpecError, text);
  }
  fails(() => pool("10.0.0.0/24", { gateway: ip("10.0.1.1") }), "address-outside", /outside/);
  fails(() => pool("10.0.0.0/24", { gateway: ip("10.0.0.0") }), "address-outside", /network address/);
  fails(() => pool("10.0.0.0/24", { gateway: ip("10.0.0.255") }), "address-outside", /broadcast/);
  fails(() => pool("10.0.0.0/24", { gateway: ip("fd00::1") }), "address-outside", /outside/);
});

const anyPool = fc
  .oneof(
    fc.record({
      base: fc.bigInt(0n, 2n ** 28n - 1n).map((n) => (10n << 24n) | (n & 0xffffffn)),
      length: fc.integer({ min: 22, max: 30 }),
      family: fc.constant(4 as const),
    }),
    fc.record({
      base: fc.bigInt(0n, 2n ** 64n - 1n).map((n) => (0xfdn << 120n) | n),
      length: fc.integer({ min: 64, max: 126 }),
      family: fc.constant(6 as const),
    }),
  )
  .map(({ base, length, family }) => makePrefix(ipFromBigint(family, base), length));

test("whatever is asked, taken and given back: every address is in range, of one owner, and never barred", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ do: "auto" } as const) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("request" as const), at: fc.nat(1100) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
  );
  fc.assert(
    fc.property(anyPool, fc.nat(7), fc.option(fc.nat(200)), fc.array(step, { maxLength: 120 }), (net, gatewayAt, reservedAt, steps) => {
      const { first, last } = prefixRange(net);
      const at = (n: number): Ip => ipFromBigint(prefixFamily(net), first + (BigInt(n) % (last - first + 1n)));
      const gateway = at(1 + (gatewayAt % 2));
      const reserved = reservedAt === null ? [] : [makePrefix(at(reservedAt), prefixFamily(net) === 4 ? 30 : 126)];
      const subject = new Pool({ prefix: net, gateway, reserved });
      const model = new Map<Ip, string>();
      let owner = 0;
      for (const what of steps) {
        if (what.do === "release") {
          const held = [...model.keys()][what.which % Math.max(model.size, 1)];
          if (held === undefined) continue;
          assert.ok(subject.release(held));
          model.delete(held);
          continue;
        }
        const name = `o${owner++}`;
        const request = what.do === "request" ? at(what.at) : undefined;
        const barred = (address: Ip) =>
          address === gateway ||
          ipToBigint(address) === first ||
          (prefixFamily(net) === 4 && ipToBigint(address) === last) ||
          reserved.some((range) => prefixContains(range, address));
        try {
          const got = allocate([subject], wish(name, { family: prefixFamily(net), request }));
          assert.ok(prefixContains(net, got) && !barred(got) && !model.has(got), got);
          if (request !== undefined) assert.equal(got, request);
          model.set(got, name);
        } catch (error) {
          if (!(error instanceof NexusError)) throw error;
          if (error.code === "address-taken") assert.ok(model.has(request as Ip));
          else if (error.code === "address-outside") assert.ok(barred(request as Ip));
          else assert.ok(error.code === "pool-exhausted" && model.size >= subject.size - 16);
        }
      }
      assert.equal(subject.leased, model.size);
      for (const [address, holder] of model) assert.equal(subject.holderOf(address), holder);
    }),
    { numRuns: 300 },
  );
});

test("every address of a pool is handed out exactly once, then it is exhausted", () => {
  const net = pool("10.9.0.0/20", { gateway: ip("10.9.3.7"), reserved: [prefix("10.9.8.0/24"), prefix("10.9.9.0/31")] });
  const got = new Set(take(net, net.size));
  assert.equal(got.size, 4096 - 3 - 256 - 2);
  assert.equal(net.lowestFree(), undefined);
  net.release(ip("10.9.15.254"));
  assert.equal(net.lowestFree(), "10.9.15.254");
});

test("an IPv6 address far up the subnet can be asked for, held and given back", () => {
  const net = pool("fd42::/64");
  const far = ip("fd42::ffff:ffff:ffff:ffff");
  assert.equal(allocate([net], wish("a", { family: 6, request: far })), far);
  assert.equal(net.lowestFree(), "fd42::10");
  fails(() => allocate([net], wish("b", { family: 6, request: far })), "address-taken", /leased to a/);
  assert.ok(net.release(far));
  assert.equal(net.release(far), false);
});

test("with 4,000 leases in a /12 an address costs at most 20 microseconds at the median", () => {
  const net = pool("172.16.0.0/12");
  take(net, 4000);
  const durations: number[] = [];
  for (let n = 0; n < 2000; n++) {
    net.release(addressAt(net.prefix, BigInt(2 + ((n * 7919) % 4000))));
    const start = performance.now();
    allocate([net], wish(`again${n}`));
    durations.push((performance.now() - start) * 1000);
  }
  const median = durations.toSorted((a, b) => a - b)[1000] ?? 0;
  assert.ok(median <= 20, `${median.toFixed(1)} µs`);
});

function wish(owner: string, extra: Partial<AddressWish> = {}): AddressWish {
  return { network: "default", owner, family: 4, ...extra };
}

function take(from: Pool, count: number): Ip[] {
  return Array.from({ length: count }, (_, n) => allocate([from], wish(`guest-${n}`, { family: from.family })));
}

function pool(text: string, extra: { gateway?: Ip; reserved?: Prefix[]; dhcpRange?: { from: Ip; to: Ip } } = {}): Pool {
  return new Pool({ prefix: prefix(text), ...extra });
}

function prefix(text: string): Prefix {
  const value = parsePrefix(text);
  assert.ok(typeof value === "string", text);
  return value;
}

function ip(text: string): Ip {
  const value = parseIp(text);
  assert.ok(value !== undefined, text);
  return value;
}

function fails(work: () => unknown, code: ErrorCode, words: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof NexusError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  });
}
