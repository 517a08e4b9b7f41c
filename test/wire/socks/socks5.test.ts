import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readGreeting, readSocksRequest } from "../../../src/wire/socks/socks5.ts";

test("a greeting and a request may come in any pieces", () => {
  const greeting = Buffer.of(5, 2, 0, 2);
  const request = Buffer.concat([Buffer.of(5, 1, 0, 3, 11), Buffer.from("example.com"), Buffer.of(1, 187)]);
  for (let n = 0; n < greeting.length; n++) assert.equal(readGreeting(greeting.subarray(0, n)).kind, "more");
  assert.deepEqual(readGreeting(Buffer.concat([greeting, request])), { kind: "greeting", anonymous: true, length: 4 });
  for (let n = 0; n < request.length; n++) assert.equal(readSocksRequest(request.subarray(0, n)).kind, "more");
  assert.deepEqual(readSocksRequest(Buffer.concat([request, Buffer.from("GET")])), {
    kind: "request",
    to: { host: Buffer.from("example.com") },
    port: 443,
    length: request.length,
  });
});

test("addresses come as bytes", () => {
  const four = readSocksRequest(Buffer.of(5, 1, 0, 1, 93, 184, 216, 34, 0, 80));
  assert.ok(four.kind === "request" && "address" in four.to);
  assert.equal(four.to.address, "93.184.216.34");
  const six = readSocksRequest(Buffer.concat([Buffer.of(5, 1, 0, 4), Buffer.alloc(15), Buffer.of(1, 0, 80)]));
  assert.ok(six.kind === "request" && "address" in six.to);
  assert.equal(six.to.address, "::1");
});

test("any bytes are a greeting or request, not all of one, or a fault", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, version) => {
      const input = Buffer.from(version ? [5, ...bytes] : bytes);
      const greeting = readGreeting(input);
      if (greeting.kind === "greeting") assert.ok(greeting.length <= input.length);
      const request = readSocksRequest(input);
      if (request.kind === "request") assert.ok(request.length <= input.length);
    }),
    { numRuns: 2000 },
  );
});
