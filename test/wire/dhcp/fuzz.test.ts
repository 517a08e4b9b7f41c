import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import type { Ipv4 } from "../../../src/base/ipv4.ts";
import { ipv4FromNumber } from "../../../src/base/ipv4.ts";
import { decodeDhcp, type DhcpMessage, encodeDhcp } from "../../../src/wire/dhcp/message.ts";
import { type DhcpOptionName, readOption } from "../../../src/wire/dhcp/options.ts";
import { decodeUdp4, encodeUdp4 } from "../../../src/wire/dhcp/udp4.ts";
import { clientDiscover, serverAck } from "./golden.ts";

const names: readonly DhcpOptionName[] = [
  ...(["subnetMask", "routers", "dnsServers", "hostname", "domain", "mtuBytes", "broadcast", "requestedAddress", "leaseSeconds"] as const),
  ...(["messageType", "serverId", "parameters", "message", "maxMessageBytes", "renewalSeconds", "rebindingSeconds"] as const),
  ...(["vendorClass", "clientId", "rapidCommit", "relayInformation", "search", "classlessRoutes"] as const),
];

/** Plain objects, as decoders give them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record(model, { noNullPrototype: true });
const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const address = fc.integer({ min: 0, max: 0xffffffff }).map((value): Ipv4 => ipv4FromNumber(value));
const text = (max: number) => fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: max });
const message: fc.Arbitrary<DhcpMessage> = record({
  op: fc.nat(255),
  hardwareType: fc.nat(255),
  hops: fc.nat(255),
  transaction: fc.integer({ min: 0, max: 0xffffffff }),
  seconds: fc.nat(65535),
  flags: fc.nat(65535),
  clientAddress: address,
  yourAddress: address,
  nextServer: address,
  relay: address,
  hardwareAddress: bytes(16),
  serverName: text(64),
  bootFile: text(128),
  // Any option but the overload, which says where options lie.
  options: fc
    .array(fc.tuple(fc.integer({ min: 1, max: 254 }), bytes(600)), { maxLength: 6 })
    .map((list) => new Map(list.filter(([code]) => code !== 52))),
});

describe("the DHCP codec", () => {
  test("gives back any message it wrote, long options too", () => {
    fc.assert(fc.property(message, (value) => assert.deepEqual(decodeDhcp(encodeDhcp(value)), value)));
  });

  test("gives a message or a WireError for any bytes", () => {
    fc.assert(fc.property(bytes(700), survives));
    fc.assert(fc.property(damaged(clientDiscover), survives), { numRuns: 500 });
    fc.assert(fc.property(damaged(serverAck), survives), { numRuns: 500 });
  });

  test("gives the data of any packet it wrote, and a datagram or a WireError for any bytes", () => {
    const ports = { sourcePort: 68, destinationPort: 67 };
    fc.assert(
      fc.property(address, address, bytes(300), (source, destination, payload) => {
        const datagram = { source, destination, ...ports, payload: Buffer.from(payload) };
        assert.deepEqual(decodeUdp4(encodeUdp4(datagram)), datagram);
      }),
    );
    const sample = encodeUdp4({ source: ipv4FromNumber(1), destination: ipv4FromNumber(2), ...ports, payload: clientDiscover });
    for (const any of [bytes(100), damaged(sample)]) fc.assert(fc.property(any, (input) => refusesCleanly(() => decodeUdp4(input))));
  });
});

function survives(input: Uint8Array): void {
  refusesCleanly(() => {
    const { options } = decodeDhcp(input);
    for (const name of names) refusesCleanly(() => readOption(options, name));
  });
}

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
