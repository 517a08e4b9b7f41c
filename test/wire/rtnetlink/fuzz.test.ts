import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { readRouteEvent } from "../../../src/kernel/route-events.ts";
import { flowBody } from "../../../src/wire/conntrack/flow.ts";
import { addressBody } from "../../../src/wire/rtnetlink/address.ts";
import { directRouteLink, glanceAtAddress, glanceAtLink, isDefaultRoute } from "../../../src/wire/rtnetlink/glance.ts";
import { linkBody } from "../../../src/wire/rtnetlink/link.ts";
import { neighbourBody } from "../../../src/wire/rtnetlink/neighbour.ts";
import { routeBody } from "../../../src/wire/rtnetlink/route.ts";
import { routeMessage } from "../../../src/wire/rtnetlink/messages.ts";
import { captured } from "../../golden/captured.ts";

const decoders = {
  link: linkBody.decode,
  address: addressBody.decode,
  route: routeBody.decode,
  neighbour: neighbourBody.decode,
  flow: flowBody.decode,
  "link at a glance": glanceAtLink,
  "address at a glance": glanceAtAddress,
  "default route": isDefaultRoute,
  "direct route": directRouteLink,
};
const seeds = [
  ...["link-list", "addr-list", "route4-list", "route6-list", "neigh-list"].flatMap((name) => captured("rtnetlink", name).received),
  ...["list4", "list6"].flatMap((name) => captured("conntrack", name).received),
];

/** A real message with some bytes changed and its end cut off: gets deeper than noise does. */
const place = fc.oneof(fc.nat(20), fc.nat(2000));
const damaged = fc
  .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 8 }), fc.oneof(fc.constant(0), fc.nat(2000)))
  .map(([{ type, body }, changes, cut]) => {
    const bytes = body.slice(0, Math.max(0, body.length - (cut % (body.length + 1))));
    for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
    return { type, bytes };
  });

describe("whatever the bytes, a decoder gives a value or a WireError", () => {
  for (const [name, decode] of Object.entries(decoders)) {
    test(name, () => {
      fc.assert(
        fc.property(
          fc.oneof(
            fc.uint8Array({ maxLength: 300 }),
            damaged.map(({ bytes }) => bytes),
          ),
          (bytes) => valueOrWireError(() => decode(bytes)),
        ),
        { numRuns: 2000 },
      );
    });
  }

  test("events of every message type", () => {
    const noise = fc.record({ type: fc.constantFrom(...Object.values(routeMessage)), bytes: fc.uint8Array({ maxLength: 300 }) });
    fc.assert(
      fc.property(fc.oneof(noise, damaged), ({ type, bytes }) =>
        valueOrWireError(() => readRouteEvent({ type, flags: 0, sequence: 0, portId: 0, body: bytes })),
      ),
      { numRuns: 5000 },
    );
  });

  test("and what was read of a real message is written back as it was", () => {
    for (const { body, type } of captured("rtnetlink", "link-list").received.filter((message) => message.type === routeMessage.newLink)) {
      const { header, attributes } = linkBody.decode(body);
      const again = linkBody.request(type, { header, attributes });
      assert.deepEqual(linkBody.decode(again.body), { header, attributes });
    }
  });
});

function valueOrWireError(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
  }
}
