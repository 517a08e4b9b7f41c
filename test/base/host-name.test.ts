import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalName } from "../../src/base/host-name.ts";
import { isFault } from "../../src/base/names.ts";

const label = fc.stringMatching(/^[A-Za-z0-9_]([A-Za-z0-9_-]{0,8}[A-Za-z0-9_])?$/);
const nameLike = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join(".")),
  fc.string({ unit: fc.constantFrom(..."aZ09.-_x%@[]:/\\ \0é。１".split("")), maxLength: 20 }),
);

/** One part of an address as inet_aton(3) takes it: decimal, octal or hexadecimal. */
function part(max: number) {
  return fc.tuple(fc.nat({ max }), fc.constantFrom(10, 8, 16), fc.nat({ max: 2 })).map(([value, base, zeros]) => {
    if (base === 10) return String(value);
    return (base === 8 ? "0" : "0x") + "0".repeat(zeros) + value.toString(base);
  });
}

/** One to four parts, of which the last fills all bytes that are left. */
const atonSpelling = fc
  .integer({ min: 1, max: 4 })
  .chain((parts) => fc.tuple(...Array.from({ length: parts }, (_, i) => part(i < parts - 1 ? 255 : 2 ** (8 * (5 - parts)) - 1))))
  .map((parts) => parts.join("."));

test("a name that is taken is the host of a URL for browsers too, letter by letter", () => {
  fc.assert(
    fc.property(nameLike, (text) => {
      const name = canonicalName(text);
      if (isFault(name)) return;
      // A browser refuses some punycode, and keeps the closing dot.
      if (!URL.canParse(`http://${text}/`)) return assert.match(text, /xn--/i);
      assert.equal(new URL(`http://${text}/`).hostname.replace(/\.$/, ""), name);
    }),
    { numRuns: 2000 },
  );
});

test("whatever a browser takes for an IPv4 address is no name", () => {
  fc.assert(
    fc.property(fc.oneof(atonSpelling, fc.string({ unit: fc.constantFrom(..."0179.xXaf".split("")), maxLength: 14 })), (text) => {
      if (!URL.canParse(`http://${text}/`)) return;
      const { hostname } = new URL(`http://${text}/`);
      if (/^\d+\.\d+\.\d+\.\d+$/.test(hostname)) assert.ok(isFault(canonicalName(text)), `${text} is ${hostname}`);
    }),
    { numRuns: 2000 },
  );
});

test("whatever the C library takes for an IPv4 address is no name", async () => {
  await fc.assert(
    fc.asyncProperty(atonSpelling, fc.boolean(), async (text, dot) => {
      // getaddrinfo(3) reads these by itself and asks nobody.
      assert.equal((await lookup(text)).family, 4);
      assert.ok(isFault(canonicalName(dot ? `${text}.` : text)), text);
    }),
    { numRuns: 300 },
  );
});

test("each of the 256 bytes at each place of a name is in the alphabet of names or refused", () => {
  const base = "api.example.com";
  for (let at = 0; at <= base.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const bytes = Buffer.concat([Buffer.from(base.slice(0, at)), Buffer.of(byte), Buffer.from(base.slice(at))]);
      const name = canonicalName(bytes);
      if (!/[A-Za-z0-9._-]/.test(String.fromCharCode(byte))) assert.ok(isFault(name), `byte ${byte} at ${at}`);
      else if (!isFault(name)) assert.equal(name, bytes.toString("latin1").toLowerCase().replace(/\.$/, ""));
    }
  }
});

test("a canonical name is its own canonical name, however it was spelled", () => {
  fc.assert(
    fc.property(nameLike, fc.boolean(), (text, dot) => {
      const name = canonicalName(text);
      if (isFault(name)) return;
      assert.equal(canonicalName(name), name);
      assert.equal(canonicalName(text.toUpperCase()), name);
      assert.equal(canonicalName(Buffer.from(text)), name);
      if (dot && !text.endsWith(".")) assert.equal(canonicalName(`${text}.`), name);
    }),
  );
});

test("what is said of a hostile name is one line of printable ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
      const name = canonicalName(text);
      if (isFault(name)) assert.match(name.fault, /^[\x20-\x7e…]{1,400}$/);
    }),
  );
});
