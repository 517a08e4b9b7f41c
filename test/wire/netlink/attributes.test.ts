import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { ipv4FromNumber } from "../../../src/base/ipv4.ts";
import { ipv6FromBigint } from "../../../src/base/ipv6.ts";
import { macFromBytes } from "../../../src/base/mac.ts";
import { attributeTable, type AttributesInput } from "../../../src/wire/netlink/attributes.ts";
import { Writer } from "../../../src/wire/netlink/bytes.ts";
import { u32, u8 } from "../../../src/wire/netlink/codecs.ts";
import { everyTable, linkTable } from "./sample.ts";

const plain = { noNullPrototype: true } as const;
const u32s = fc.integer({ min: 0, max: 0xffffffff });
const text = fc.string({ unit: "binary", maxLength: 20 }).map((s) => s.replaceAll("\0", "x"));
const blob = fc.uint8Array({ maxLength: 20 }).map((b) => Uint8Array.from(b));
const ipv4s = u32s.map(ipv4FromNumber);
const ipv6s = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(ipv6FromBigint);
const macs = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes);
const bridges = fc.record({ stp: u32s }, { requiredKeys: [], noNullPrototype: true });
const filled = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Uint8Array.from(b));

const everything = fc.record(
  {
    u8: fc.nat(255),
    u16: fc.nat(65535),
    u32: u32s,
    s32: fc.integer(),
    u64: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    be16: fc.nat(65535),
    be32: u32s,
    be64: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    flag: fc.constant(true as const),
    bytes: blob,
    string: text,
    ipv4: ipv4s,
    ipv6: ipv6s,
    ip: fc.oneof(ipv4s, ipv6s),
    mac: macs,
    nested: bridges,
    list: fc.array(bridges, { maxLength: 3 }),
    indexed: fc.array(fc.nat(65535), { maxLength: 4 }),
    repeated: fc.array(u32s, { minLength: 1, maxLength: 3 }),
    headed: fc.record(
      {
        header: fc.record({ family: fc.nat(255), type: fc.nat(65535), index: fc.integer(), flags: u32s, change: u32s }, plain),
        attributes: fc.record({ name: text, mtu: u32s }, { requiredKeys: [], noNullPrototype: true }),
      },
      plain,
    ),
    unknown: fc.array(fc.record({ type: fc.integer({ min: 100, max: 0x3fff }), bytes: filled(5) }, plain), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: [], noNullPrototype: true },
);

describe("attribute tables", () => {
  test("read back what they wrote, for every codec and for unknown attributes", () => {
    fc.assert(
      fc.property(everything, (value) => {
        const back = everyTable.decode(everyTable.encode(value), "every");
        assert.deepEqual(back, value);
      }),
      { numRuns: 500 },
    );
  });

  test("give a value or a WireError for any bytes, and what they read survives another round", () => {
    let read = 0;
    fc.assert(
      fc.property(attributeBytes(), (bytes) => {
        const decoded = attempt(() => everyTable.decode(bytes, "every"));
        if (decoded === undefined) return;
        read++;
        assert.deepEqual(everyTable.decode(everyTable.encode(decoded), "every"), decoded);
      }),
      { numRuns: 3000 },
    );
    assert.ok(read > 100, `only ${read} of the inputs were readable: the test would see nothing`);
  });

  test("name a place in any bytes without ever throwing", () => {
    fc.assert(
      fc.property(attributeBytes(), fc.nat(80), (bytes, at) => {
        assert.equal(typeof linkTable.path(bytes, { root: "link", at }), "string");
        assert.equal(typeof everyTable.path(bytes, { root: "every", at }), "string");
      }),
      { numRuns: 2000 },
    );
  });

  test("leave out what is undefined and write in the order of the keys", () => {
    assert.deepEqual(linkTable.encode({ mtu: undefined, group: 1, master: 2 }), hex("08001b0001000000" + "08000a0002000000"));
  });

  test("mark nests with NLA_F_NESTED, and pay no heed to the flag bits of what they read", () => {
    assert.deepEqual(everyTable.encode({ nested: { stp: 1 } }), hex("0c00" + "1080" + "0800050001000000"));
    assert.deepEqual(everyTable.decode(hex("0800" + "0340" + "01000000"), "every"), { u32: 1 });
    assert.deepEqual(everyTable.decode(hex("0c00" + "1000" + "0800050001000000"), "every"), { nested: { stp: 1 } });
  });

  test("refuse a payload of the wrong size and name the attribute", () => {
    const bytes = linkTable.encode({ mtu: 1400, info: { kind: "bridge", data: { other: hex("0600050001000000") } } });
    assert.throws(
      () => linkTable.decode(bytes, "link"),
      (error: unknown) => error instanceof WireError && error.message.startsWith("link.info.data.stp: 4 bytes are wanted and 2 are left"),
    );
  });

  test("take the kind of nested data from the sibling, whichever comes first, and keep data of unknown kinds", () => {
    const data = hex("0c000280" + "0800050001000000");
    const kind = hex("0b000100" + "6272696467650000");
    assert.deepEqual(linkTable.decode(concat(hex("1c001200"), data, kind), "link"), {
      info: { kind: "bridge", data: { bridge: { stp: 1 } } },
    });
    const other = { info: { kind: "toString", data: { other: Uint8Array.of(1, 2, 3, 4) } } };
    assert.deepEqual(linkTable.decode(linkTable.encode(other), "link"), other);
  });

  test("refuse an attribute longer than its length field can say", () => {
    assert.throws(() => everyTable.encode({ bytes: new Uint8Array(65532) }), WireError);
    assert.equal(everyTable.encode({ bytes: new Uint8Array(65531) }).length, 65536);
  });

  test("refuse unknown and misplaced names in the types", () => {
    // @ts-expect-error no such attribute
    const wrong: AttributesInput<typeof linkTable.specs> = { naem: "x" };
    assert.throws(() => linkTable.encode(wrong), TypeError);
    // @ts-expect-error a number is wanted
    const wrongType: AttributesInput<typeof linkTable.specs> = { mtu: "1400" };
    assert.ok(wrongType);
    // @ts-expect-error "unknown" is the place of what no line has
    assert.ok(attributeTable({ unknown: { number: 1, codec: u32, meaning: "" } }));
    assert.throws(() => attributeTable({ a: { number: 1, codec: u8, meaning: "" }, b: { number: 1, codec: u8, meaning: "" } }), TypeError);
  });
});

/** Attributes with plausible headers: plain random bytes hardly ever get past the first length. */
function attributeBytes(): fc.Arbitrary<Uint8Array> {
  const attribute = fc
    .tuple(fc.nat(22), fc.nat(3), fc.uint8Array({ maxLength: 24 }), fc.integer({ min: -2, max: 2 }))
    .map(([type, flags, payload, lie]) => {
      const writer = new Writer();
      writer.u16(Math.max(0, 4 + payload.length + (flags === 3 ? lie : 0)));
      writer.u16(type | (flags === 1 ? 0x8000 : 0));
      writer.write(payload);
      writer.align();
      return writer.finish();
    });
  return fc.oneof(
    fc.array(attribute, { maxLength: 4 }).map((parts) => concat(...parts)),
    fc.uint8Array({ maxLength: 64 }).map((b) => Uint8Array.from(b)),
  );
}

function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
    return undefined;
  }
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
