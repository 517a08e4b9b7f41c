import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { type Ipv6, ipv6FromBigint } from "../../../src/base/ipv6.ts";
import { decodeDhcp6, encodeDhcp6 } from "../../../src/wire/dhcp6/message.ts";
import type { Dhcp6Option } from "../../../src/wire/dhcp6/options.ts";
import { decodeUdp6, encodeUdp6 } from "../../../src/wire/dhcp6/udp6.ts";
import { checksum6, decodeIpv6 } from "../../../src/wire/icmpv6/ipv6.ts";
import { dhclientSolicit, serverReply } from "./golden.ts";

/** Plain objects, as decoders give them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record(model, { noNullPrototype: true });
const bytes = (max: number, min = 0) => fc.uint8Array({ minLength: min, maxLength: max });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const address = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value): Ipv6 => ipv6FromBigint(value));
const domain = fc.array(fc.stringMatching(/^[a-z0-9]{1,20}$/), { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const named = new Set([1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 23, 24, 25, 32]);

const flat: fc.Arbitrary<Dhcp6Option> = fc.oneof(
  record({ kind: fc.constantFrom("client-id" as const, "server-id" as const), duid: bytes(130, 3) }),
  record({ kind: fc.constant("option-request" as const), codes: fc.array(fc.nat(65535), { maxLength: 9 }) }),
  record({ kind: fc.constant("preference" as const), value: fc.nat(255) }),
  record({ kind: fc.constant("elapsed" as const), hundredths: fc.nat(65535) }),
  record({ kind: fc.constant("status" as const), code: fc.nat(65535), text: fc.string({ unit: "grapheme" }) }),
  record({ kind: fc.constant("rapid-commit" as const) }),
  record({ kind: fc.constant("dns-servers" as const), servers: fc.array(address, { maxLength: 4 }) }),
  record({ kind: fc.constant("domains" as const), domains: fc.array(domain, { maxLength: 3 }) }),
  record({ kind: fc.constant("refresh" as const), seconds: u32 }),
  record({
    kind: fc.constant("other" as const),
    code: fc.nat(65535).filter((code) => !named.has(code)),
    data: bytes(20),
  }),
);
const leased: fc.Arbitrary<Dhcp6Option> = record({
  kind: fc.constant("address" as const),
  address,
  preferredSeconds: u32,
  validSeconds: u32,
  options: fc.array(flat, { maxLength: 2 }),
});
const association: fc.Arbitrary<Dhcp6Option> = fc.oneof(
  record({
    kind: fc.constantFrom("non-temporary" as const, "prefixes" as const),
    id: u32,
    renewSeconds: u32,
    rebindSeconds: u32,
    options: fc.array(fc.oneof(leased, flat), { maxLength: 3 }),
  }),
  record({ kind: fc.constant("temporary" as const), id: u32, options: fc.array(leased, { maxLength: 2 }) }),
);

describe("the DHCPv6 codec", () => {
  test("gives back any message it wrote", () => {
    const message = record({
      type: fc.nat(255).filter((type) => type !== 12 && type !== 13),
      transaction: fc.nat(0xffffff),
      options: fc.array(fc.oneof(flat, association), { maxLength: 6 }),
    });
    fc.assert(fc.property(message, (value) => assert.deepEqual(decodeDhcp6(encodeDhcp6(value)), value)));
  });

  test("gives a message or a WireError for any bytes, however deep options claim to lie", () => {
    fc.assert(fc.property(bytes(300), survives));
    for (const sample of [dhclientSolicit, serverReply]) fc.assert(fc.property(damaged(sample), survives), { numRuns: 500 });
    let nested = Buffer.alloc(0);
    for (let i = 0; i < 1000; i++)
      nested = Buffer.concat([Buffer.from([0, 4, (nested.length + 4) >>> 8, (nested.length + 4) & 255, 0, 0, 0, 1]), nested]);
    assert.throws(() => decodeDhcp6(Buffer.concat([Buffer.from([1, 0, 0, 1]), nested])), WireError);
  });

  test("gives the data of any packet it wrote, with a right checksum", () => {
    fc.assert(
      fc.property(address, address, bytes(300), (source, destination, data) => {
        const datagram = { source, destination, sourcePort: 546, destinationPort: 547, payload: Buffer.from(data) };
        const packet = decodeIpv6(encodeUdp6(datagram));
        assert.deepEqual(decodeUdp6(packet), datagram);
        assert.equal(checksum6(packet), 0);
      }),
    );
  });
});

function survives(input: Uint8Array): void {
  try {
    decodeDhcp6(input);
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
