import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { attributeTable } from "../../../src/wire/netlink/attributes.ts";
import {
  chainAttributes,
  elementListAttributes,
  generationAttributes,
  objectAttributes,
  ruleAttributes,
  setAttributes,
  tableAttributes,
} from "../../../src/wire/nftables/attributes.ts";
import { dataTypes, encodeValue, readValue, type ValueType } from "../../../src/wire/nftables/datatypes.ts";
import { ElementBytes } from "../../../src/wire/nftables/element-bytes.ts";
import { decodeElements } from "../../../src/wire/nftables/elements.ts";
import { ElementWriter } from "../../../src/wire/nftables/element-writer.ts";
import type { CmpOp, Expression } from "../../../src/wire/nftables/expression.ts";
import { expressionList } from "../../../src/wire/nftables/expressions.ts";
import type { CtKey, MetaKey } from "../../../src/wire/nftables/fields.ts";
import { decodeBody } from "../../../src/wire/nftables/message.ts";
import type { Element, KeyPart, Verdict } from "../../../src/wire/nftables/model.ts";
import { decodeSet, encodeSet, type SetDefinition } from "../../../src/wire/nftables/set-definition.ts";
import { commentOf, decodeUserData } from "../../../src/wire/nftables/userdata.ts";
import { Writer } from "../../../src/wire/netlink/bytes.ts";
import { writeAttribute } from "../../../src/wire/netlink/attributes.ts";

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record<T>(model, { noNullPrototype: true });
const u32 = fc.nat({ max: 0xffffffff });
const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/);
const bytes = (max: number) => fc.uint8Array({ minLength: 1, maxLength: max });
const register = fc.constantFrom(1, 2, 3, 4, 8, 9, 12, 23);
const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  record({ kind: fc.constantFrom("accept" as const, "drop" as const, "return" as const) }),
  record({ kind: fc.constantFrom("jump" as const, "goto" as const), chain: name }),
);
const metaKey = fc.constantFrom<MetaKey>(
  "protocol",
  "mark",
  "iifname",
  "oifname",
  "iiftype",
  "nfproto",
  "l4proto",
  "iifgroup",
  "oifgroup",
  "skuid",
);
const ctKey = fc.constantFrom<CtKey>("state", "status", "mark");
const cmpOp = fc.constantFrom<CmpOp>("eq", "neq", "lt", "lte", "gt", "gte");
const optional = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(value, { nil: undefined }).map((given) => (given === undefined ? {} : { [key]: given }));

const expression: fc.Arbitrary<Expression> = fc.oneof(
  record({
    kind: fc.constant("payload" as const),
    base: fc.constantFrom("link" as const, "network" as const, "transport" as const),
    offset: u32,
    length: u32,
    dreg: register,
  }),
  record({ kind: fc.constant("meta" as const), key: metaKey, dreg: register }),
  record({ kind: fc.constant("meta-set" as const), key: metaKey, sreg: register }),
  record({ kind: fc.constant("ct" as const), key: ctKey, dreg: register }),
  record({ kind: fc.constant("ct-set" as const), key: ctKey, sreg: register }),
  record({ kind: fc.constant("fib-type" as const), of: fc.constantFrom("saddr" as const, "daddr" as const), dreg: register }),
  record({ kind: fc.constant("cmp" as const), op: cmpOp, sreg: register, data: bytes(64) }),
  record({
    kind: fc.constant("range" as const),
    op: fc.constantFrom("eq" as const, "neq" as const),
    sreg: register,
    from: bytes(16),
    to: bytes(16),
  }),
  record({ kind: fc.constant("bitwise" as const), sreg: register, dreg: register, mask: bytes(16), xor: bytes(16) }),
  fc
    .tuple(
      record({ kind: fc.constant("lookup" as const), set: name, sreg: register, invert: fc.boolean() }),
      optional("setId", u32),
      optional("dreg", register),
    )
    .map(([e, a, b]) => ({ ...e, ...a, ...b })),
  record({ kind: fc.constant("immediate" as const), dreg: register, data: bytes(64) }),
  record({ kind: fc.constant("verdict" as const), verdict }),
  fc
    .tuple(
      record({
        kind: fc.constant("nat" as const),
        type: fc.constantFrom("snat" as const, "dnat" as const),
        family: fc.constantFrom("ip" as const, "ip6" as const),
        flags: fc.constantFrom(0, 4, 16),
      }),
      optional("address", register),
      optional("port", register),
    )
    .map(([e, a, b]) => ({ ...e, ...a, ...b })),
  fc
    .tuple(record({ kind: fc.constant("masquerade" as const), flags: u32 }), optional("portMin", register), optional("portMax", register))
    .map(([e, a, b]) => ({ ...e, ...a, ...b })),
  record({
    kind: fc.constant("reject" as const),
    type: fc.constantFrom("icmp" as const, "tcp-reset" as const, "icmpx" as const),
    code: fc.nat({ max: 255 }),
  }),
  record({ kind: fc.constant("counter" as const), packets: fc.bigInt(0n, (1n << 64n) - 1n), bytes: fc.bigInt(0n, (1n << 64n) - 1n) }),
  record({ kind: fc.constant("objref" as const), object: fc.constant("counter" as const), name }),
  fc
    .tuple(record({ kind: fc.constant("objref-map" as const), set: name, sreg: register }), optional("setId", u32))
    .map(([e, a]) => ({ ...e, ...a })),
  record({ kind: fc.constant("log" as const), prefix: fc.stringMatching(/^[ -~]{0,60}$/) }),
  record({ kind: fc.constant("limit" as const), rate: fc.bigInt(0n, 1n << 40n), unit: fc.bigInt(1n, 86400n), burst: u32 }),
  record({ kind: fc.constant("unknown" as const), name: fc.constantFrom("quota", "target", "xfrm"), data: bytes(40) }),
);

const rule = attributeTable({ expressions: { number: 4, codec: expressionList, meaning: "instructions" } });

test("every instruction reads back as it was written", () => {
  fc.assert(
    fc.property(fc.array(expression, { maxLength: 8 }), (expressions) => {
      assert.deepEqual(rule.decode(rule.encode({ expressions }), "rule").expressions, expressions);
    }),
  );
});

test("any bytes are a message of each kind or a WireError, and nothing else", () => {
  const tables = [
    tableAttributes,
    chainAttributes,
    ruleAttributes,
    setAttributes,
    elementListAttributes,
    objectAttributes,
    generationAttributes,
  ] as const;
  const read = (body: Uint8Array): void => {
    for (const table of tables) {
      try {
        const { attributes } = decodeBody<Record<string, never>>(table as never, body, "message");
        if ((table as unknown) === setAttributes) decodeSet(attributes);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), read), { numRuns: 2000 });
  // Bytes that begin well get further: real messages with some bytes changed.
  const good = fc
    .array(expression, { minLength: 1, maxLength: 4 })
    .map((expressions) =>
      Uint8Array.of(1, 0, 0, 0, ...ruleAttributes.encode({ table: "t", chain: "c", expressions, userData: Uint8Array.of(0, 2, 65, 0) })),
    );
  fc.assert(
    fc.property(good, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 }), (body, damage) => {
      for (const [at, value] of damage) body[at % body.length] = value;
      read(body);
    }),
    { numRuns: 2000 },
  );
});

test("any bytes are user data, and a comment or none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (given) => {
      decodeUserData(given);
      commentOf(given);
    }),
  );
});

const valueOf: { readonly [T in ValueType]?: fc.Arbitrary<string | number> } = {
  ipv4_addr: fc.ipV4(),
  ipv6_addr: fc.ipV6(),
  ether_addr: fc
    .uint8Array({ minLength: 6, maxLength: 6 })
    .map((octets) => Array.from(octets, (o) => o.toString(16).padStart(2, "0")).join(":")),
  ifname: fc.stringMatching(/^[a-z][a-z0-9._-]{0,14}$/),
};

const typed = fc
  .constantFrom(...(Object.keys(dataTypes) as ValueType[]))
  .chain((type) => fc.tuple(fc.constant(type), valueOf[type] ?? fc.nat({ max: 256 ** dataTypes[type].length - 1 })));

test("a value of every type keeps its bytes through text", () => {
  fc.assert(
    fc.property(typed, ([type, value]) => {
      const written = encodeValue(value, type);
      assert.deepEqual(encodeValue(readValue(written, 0, type), type), written);
    }),
  );
});

test("a value of a type that cannot hold it is refused", () => {
  const refused: [string | number, ValueType][] = [
    ["10.0.0.256", "ipv4_addr"],
    ["10.0.0", "ipv4_addr"],
    ["10.0.0.0.1", "ipv4_addr"],
    ["10.0.0.01", "ipv4_addr"],
    ["10..0.1", "ipv4_addr"],
    ["", "ipv4_addr"],
    ["fd00::1", "ipv4_addr"],
    ["10.0.0.1", "ipv6_addr"],
    [65536, "inet_service"],
    [-1, "mark"],
    [1.5, "mark"],
    ["http", "inet_service"],
    ["constructor", "inet_proto"],
    ["", "ifname"],
    ["sixteen-bytes-xx", "ifname"],
    ["02:00:00:00:00", "ether_addr"],
  ];
  for (const [value, type] of refused) assert.throws(() => encodeValue(value, type), WireError, `${value} as ${type}`);
});

/** Disjoint ranges within a type of two bytes, so that they can stand in one set. */
const ranges = fc.uniqueArray(fc.nat({ max: 65535 }), { minLength: 2, maxLength: 20 }).map((ports) => {
  const sorted = ports.toSorted((a, b) => a - b);
  return sorted.flatMap((from, i): KeyPart[] =>
    i % 2 === 0 && sorted[i + 1] !== undefined ? [{ from, to: sorted[i + 1] as number }] : [],
  );
});

test("intervals of a set read back as written, whatever their order", () => {
  const set: SetDefinition = { name: "s", key: ["inet_service"], interval: true };
  fc.assert(
    fc.property(ranges, (parts) => {
      const elements = parts.map((part): Element => ({ key: [part] }));
      const read = throughKernelForm(set, elements, (entries) => entries.toReversed());
      const bytes = new ElementBytes(set);
      assert.deepEqual(
        read.map((element) => bytes.identity(element)),
        elements.map((element) => bytes.identity(element)),
      );
    }),
  );
});

test("elements of concatenations, maps and verdict maps read back as written", () => {
  const verdicts: SetDefinition = { name: "v", key: ["ifname"], data: "verdict", interval: false };
  const ports: SetDefinition = {
    name: "p",
    key: ["ipv4_addr", "inet_proto", "inet_service"],
    data: ["ipv4_addr", "inet_service"],
    interval: true,
  };
  const name = valueOf.ifname ?? fc.constant("a");
  const address = fc.ipV4();
  const port = fc.nat({ max: 65535 });
  fc.assert(
    fc.property(record({ key: fc.tuple(name), data: record({ verdict }), comment: fc.stringMatching(/^[a-z ]{1,20}$/) }), (element) => {
      assert.deepEqual(throughKernelForm(verdicts, [element]), [element]);
    }),
  );
  fc.assert(
    fc.property(address, port, port, fc.nat({ max: 255 }), (ip, a, b, protocol) => {
      const range = a === b ? a : { from: Math.min(a, b), to: Math.max(a, b) };
      const element: Element = { key: [ip, protocol, range], data: { values: [ip, b] } };
      assert.deepEqual(throughKernelForm(ports, [element]), [element]);
    }),
  );
});

test("any entries the kernel could send are elements or a WireError", () => {
  const entry = record({
    flags: fc.constantFrom(undefined, 0, 1, 2, 3),
    key: fc.option(record({ value: fc.uint8Array({ minLength: 1, maxLength: 6 }) }), { nil: undefined }),
  });
  const sets: SetDefinition[] = [
    { name: "s", key: ["ipv4_addr"], interval: true },
    { name: "m", key: ["inet_service"], data: ["mark"], interval: false },
    { name: "o", key: ["inet_proto"], data: "counter", interval: true },
  ];
  fc.assert(
    fc.property(fc.constantFrom(...sets), fc.array(entry, { maxLength: 6 }), (set, entries) => {
      try {
        decodeElements(
          set,
          entries.map(({ flags, key }) => ({ ...(flags === undefined ? {} : { flags }), ...(key === undefined ? {} : { key }) })),
        );
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
});

test("a set's definition reads back from its attributes", () => {
  const definitions: SetDefinition[] = [
    { name: "a", key: ["ipv4_addr"], interval: true },
    { name: "b", key: ["ifname", "ether_addr", "ipv6_addr"], interval: false },
    { name: "c", key: ["inet_proto", "inet_service"], data: ["ipv4_addr"], interval: true },
    { name: "d", key: ["ifname"], data: "verdict", interval: false },
    { name: "e", key: ["ifname"], data: "counter", interval: false },
    { name: "__set%d", key: ["icmpv6_type"], interval: false, anonymous: { size: 3 } },
  ];
  for (const definition of definitions)
    assert.deepEqual(decodeSet(setAttributes.decode(setAttributes.encode(encodeSet("t", definition)), "set")), definition);
  assert.throws(() => encodeSet("t", { name: "x", key: ["mark"], interval: true }), WireError);
});

test("an element that does not fit its set is refused by name", () => {
  const set: SetDefinition = { name: "zone", key: ["ifname"], data: "verdict", interval: false };
  const wrong: Element[] = [
    { key: ["a"] },
    { key: ["a", "b"], data: { verdict: { kind: "drop" } } },
    { key: ["a"], data: { counter: "c" } },
    { key: ["a"], data: { values: [1] } },
    { key: [{ from: "a", to: "b" }], data: { verdict: { kind: "drop" } } },
  ];
  for (const element of wrong) assert.throws(() => new ElementWriter(set, "add").write(new Writer(), element, 1), /zone/);
});

function throughKernelForm(
  set: SetDefinition,
  elements: readonly Element[],
  shuffle: <T>(entries: T[]) => T[] = (entries) => entries,
): Element[] {
  const writer = new Writer();
  const encoder = new ElementWriter(set, "add");
  writeAttribute(writer, 3 | 0x8000, () => {
    let index = 1;
    for (const element of elements) index = encoder.write(writer, element, index);
  });
  return decodeElements(set, shuffle(elementListAttributes.decode(writer.finish(), "elements").elements ?? []));
}
