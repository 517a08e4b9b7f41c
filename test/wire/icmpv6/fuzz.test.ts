import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { type Ipv6, ipv6FromBigint } from "../../../src/base/ipv6.ts";
import { macFromBytes } from "../../../src/base/mac.ts";
import { makePrefix } from "../../../src/base/prefix.ts";
import { decodeIpv6 } from "../../../src/wire/icmpv6/ipv6.ts";
import { decodeNeighbourOptions, type NeighbourOption } from "../../../src/wire/icmpv6/options.ts";
import { decodeRouterAdvert, decodeRouterSolicit, encodeRouterAdvert, type RouterAdvert } from "../../../src/wire/icmpv6/router.ts";
import { dnsmasqAdvert, kernelSolicit } from "./golden.ts";

/** Plain objects, as decoders give them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record(model, { noNullPrototype: true });
const bytes = (max: number, min = 0) => fc.uint8Array({ minLength: min, maxLength: max });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const address = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value): Ipv6 => ipv6FromBigint(value));
const prefix = fc.tuple(address, fc.nat(128)).map(([of, length]) => makePrefix(of, length));
const domain = fc.array(fc.stringMatching(/^[a-z0-9]{1,20}$/), { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));

const option: fc.Arbitrary<NeighbourOption> = fc.oneof(
  record({ kind: fc.constant("source-mac" as const), mac: bytes(6, 6).map(macFromBytes) }),
  record({ kind: fc.constant("mtu" as const), mtuBytes: u32 }),
  record({ kind: fc.constant("route" as const), prefix, lifetimeSeconds: u32 }),
  record({
    kind: fc.constant("prefix" as const),
    prefix,
    onLink: fc.boolean(),
    autonomous: fc.boolean(),
    validSeconds: u32,
    preferredSeconds: u32,
  }),
  record({
    kind: fc.constant("dns-servers" as const),
    servers: fc.array(address, { minLength: 1, maxLength: 4 }),
    lifetimeSeconds: u32,
  }),
  record({
    kind: fc.constant("dns-search" as const),
    domains: fc.array(domain, { minLength: 1, maxLength: 3 }),
    lifetimeSeconds: u32,
  }),
  record({ kind: fc.constant("other" as const), type: fc.integer({ min: 32, max: 255 }), data: bytes(6, 6) }),
);

const advert: fc.Arbitrary<RouterAdvert> = record({
  hopLimit: fc.nat(255),
  managed: fc.boolean(),
  other: fc.boolean(),
  lifetimeSeconds: fc.nat(65535),
  reachableMs: u32,
  retransmitMs: u32,
  options: fc.array(option, { maxLength: 6 }),
});

describe("the router discovery codec", () => {
  test("gives back any advertisement it wrote", () => {
    const way = { source: "fe80::1" as Ipv6, destination: "ff02::1" as Ipv6 };
    fc.assert(fc.property(advert, (value) => assert.deepEqual(decodeRouterAdvert(decodeIpv6(encodeRouterAdvert(value, way))), value)));
  });

  test("gives a value or a WireError for any bytes", () => {
    const decodeAll = (input: Uint8Array) => {
      refusesCleanly(() => decodeNeighbourOptions(input));
      refusesCleanly(() => decodeRouterAdvert(decodeIpv6(input)));
      refusesCleanly(() => decodeRouterSolicit(decodeIpv6(input)));
    };
    fc.assert(fc.property(bytes(200), decodeAll));
    for (const sample of [dnsmasqAdvert, kernelSolicit, dnsmasqAdvert.subarray(56)])
      fc.assert(fc.property(damaged(sample), decodeAll), { numRuns: 500 });
  });
});

function refusesCleanly(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
  }
}

/** Real bytes, some of them changed, cut anywhere. */
function damaged(sample: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(sample.length - 1), fc.nat(255));
  return fc.tuple(fc.array(change, { maxLength: 8 }), fc.nat(sample.length)).map(([changes, length]) => {
    const out = Uint8Array.from(sample);
    for (const [at, value] of changes) out[at] = value;
    return out.subarray(0, length);
  });
}
