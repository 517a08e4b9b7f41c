import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { WireError } from "../../../src/base/errors.ts";
import { bodyReader, chunkOf, lastChunk } from "../../../src/wire/http1/body.ts";
import { readFields, readHead } from "../../../src/wire/http1/head.ts";
import { parseRequest } from "../../../src/wire/http1/request.ts";
import { parseResponse } from "../../../src/wire/http1/response.ts";

const limits = { bytes: 8192, fields: 32 };

/** Pieces that attacks are made of beside those of ordinary requests. */
const fieldLine = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom("Accept: */*", "X-A: b", "User-Agent: curl/8", "Cookie: a=b; c=d", "X-Empty:", "X-Space: \t a \t"),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "Content-Length: 5",
      "Content-Length: 05",
      "Content-Length: 0",
      "Transfer-Encoding: chunked",
      "transfer-encoding: Chunked",
      "Connection: close",
      "Connection: keep-alive, x-a",
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "Content-Length : 5",
      " folded",
      "Transfer-Encoding: xchunked",
      "Content-Length: 5, 5",
      "Upgrade: h2c",
      "Host: b",
      ": x",
      "X: a\rb",
      "X: a\0b",
    ),
  },
  fc.string({ unit: fc.constantFrom(..."aB:-_ \t\r\n\0\x7f\xe9,;=".split("")), maxLength: 12 }),
);
const request = fc.record({
  method: fc.constantFrom("GET", "POST", "DELETE", "OPTIONS", "get", "TRACE"),
  target: fc.constantFrom(
    "http://a.example/",
    "http://a.example/x?y=z",
    "http://a.example",
    "http://a.example:80/%20",
    "/x",
    "http://u@a.example/",
    "http://a.example/ x",
  ),
  version: fc.constantFrom("1.1", "1.1", "1.1", "1.0", "2.0"),
  fields: fc.array(fieldLine, { maxLength: 5 }),
  end: fc.constantFrom("\r\n", "\r\n", "\r\n", "\r\n", "\n"),
  body: fc.constantFrom("hello", "5\r\nhello\r\n0\r\n\r\n", "", "0\r\n\r\n", "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"),
});

test("a request that is accepted is the same one request to Node's own parser", async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(request, async ({ method, target, version, fields, end, body }) => {
      const text = `${[`${method} ${target} HTTP/${version}`, "Host: a.example", ...fields, ""].join(end)}${end}`;
      const bytes = Buffer.from(text + body, "latin1");
      const head = readHead(bytes, limits);
      if (head.kind !== "head") return;
      const ours = parseRequest(head.lines);
      if ("problem" in ours) return;
      accepted++;
      const reader = bodyReader(ours.framing);
      const ourBody: Buffer[] = [];
      try {
        if (!reader.done) ourBody.push(...reader.push(bytes.subarray(head.length)));
      } catch (error) {
        if (error instanceof WireError) return;
        throw error;
      }
      if (!reader.done) return;
      const theirs = await askNode(bytes);
      assert.ok(theirs !== undefined, text);
      assert.equal(theirs.method, ours.method);
      assert.equal(theirs.url, target);
      assert.equal(theirs.body, Buffer.concat(ourBody).toString("latin1"));
      for (const { lower, value } of ours.fields) assert.ok(theirs.values(lower).includes(value), `${lower}: ${value}`);
    }),
    { numRuns: 600 },
  );
  assert.ok(accepted > 30, `${accepted} accepted`);
});

type Theirs = { method: string; url: string; body: string; values: (name: string) => string[] };

/** The first request Node's server takes from these bytes; undefined when it refuses them. */
async function askNode(bytes: Buffer): Promise<Theirs | undefined> {
  const [client, served] = duplexPair();
  let seen: Theirs | undefined;
  const over = Promise.withResolvers<void>();
  const server = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on("data", (part: Buffer) => parts.push(part));
    incoming.on("end", () => {
      const { method = "", url = "", rawHeaders } = incoming;
      const values = (name: string) => rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
      seen ??= { method, url, body: Buffer.concat(parts).toString("latin1"), values };
      response.end();
      over.resolve();
    });
  });
  server.on("clientError", () => over.resolve());
  server.emit("connection", served);
  client.resume();
  client.end(bytes);
  await Promise.race([over.promise, once(client, "close")]);
  client.destroy();
  served.destroy();
  return seen;
}

test("no bytes are too strange to be judged, and what is not understood waits, is refused, or is a head", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.string({ unit: fc.constantFrom(..."GET htp:/\r\n1.0 a\0:".split("")), maxLength: 100 }),
      ),
      (input) => {
        const bytes = Buffer.from(input as string, "latin1");
        const head = readHead(bytes, limits);
        if (head.kind !== "head") return;
        parseRequest(head.lines);
        parseResponse(head.lines, "GET");
        readFields(head.lines);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a chunked body is the same however it is cut, and is framed anew without loss", () => {
  const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 }), cuts, (chunks, places) => {
      const wire = Buffer.concat([...chunks.flatMap((chunk) => chunkOf([Buffer.from(chunk)])), lastChunk, Buffer.from("NEXT")]);
      const reader = bodyReader({ kind: "chunked" });
      const out: Buffer[] = [];
      const bounds = [0, ...places.filter((at) => at < wire.length).toSorted((a, b) => a - b), wire.length];
      let rest = Buffer.alloc(0);
      for (let i = 1; i < bounds.length; i++) {
        const piece = wire.subarray(bounds[i - 1], bounds[i]);
        if (reader.done) rest = Buffer.concat([rest, piece]);
        else {
          out.push(...reader.push(piece));
          rest = Buffer.from(reader.rest);
        }
      }
      assert.ok(reader.done);
      assert.equal(rest.toString(), "NEXT");
      assert.deepEqual(Buffer.concat(out), Buffer.concat(chunks));
    }),
  );
});

test("no chunked body makes the reader throw anything but a WireError", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: fc.constantFrom(..."05aF\r\n; x:\0".split("")), maxLength: 12 }), { maxLength: 6 }),
      (pieces) => {
        const reader = bodyReader({ kind: "chunked" });
        try {
          for (const piece of pieces) if (!reader.done) reader.push(Buffer.from(piece, "latin1"));
        } catch (error) {
          assert.ok(error instanceof WireError);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test("a head may come in any pieces, and is refused as soon as it cannot be one", () => {
  const whole = Buffer.from("GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n");
  for (let n = 0; n < whole.length; n++) assert.equal(readHead(whole.subarray(0, n), limits).kind, "more");
  assert.equal(readHead(whole, limits).kind, "head");
  assert.equal(readHead(Buffer.from("GET / HTTP/1.1\n"), limits).kind, "fault");
  assert.equal(readHead(Buffer.alloc(limits.bytes, "a"), limits).kind, "fault");
  assert.equal(readHead(Buffer.from(`GET / HTTP/1.1\r\n${"A: b\r\n".repeat(limits.fields + 1)}`), limits).kind, "fault");
});

test("a response's body ends where its status and the request's method say", () => {
  const framing = (head: string, method = "GET") => {
    const response = parseResponse(head.split("\r\n"), method);
    return "fault" in response ? response.fault : `${response.framing.kind} ${response.keepAlive ? "keep" : "close"}`;
  };
  assert.equal(framing("HTTP/1.1 200 OK\r\nContent-Length: 5"), "length keep");
  assert.equal(framing("HTTP/1.1 200\r\nTransfer-Encoding: chunked"), "chunked keep");
  assert.equal(framing("HTTP/1.1 200 OK"), "close close");
  assert.equal(framing("HTTP/1.0 200 OK\r\nContent-Length: 5"), "length close");
  assert.equal(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close"), "length close");
  assert.equal(framing("HTTP/1.1 204 No Content\r\nContent-Length: 5"), "none keep");
  assert.equal(framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 5"), "none keep");
  assert.equal(framing("HTTP/1.1 200 OK\r\nContent-Length: 5", "HEAD"), "none keep");
  assert.equal(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"), "the length of the body is given twice");
  assert.equal(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked"), "Transfer-Encoding is not chunked");
  assert.match(framing("HTTP/2 200 OK"), /status line/);
  assert.match(framing("HTTP/1.1 99 x"), /status line/);
});
