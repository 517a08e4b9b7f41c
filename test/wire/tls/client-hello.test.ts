import assert from "node:assert/strict";
import { test } from "node:test";
import { duplexPair } from "node:stream";
import { connect } from "node:tls";
import fc from "fast-check";
import { ClientHelloReader, type HelloRead } from "../../../src/wire/tls/client-hello.ts";

const maxBytes = 16_384;

/** The first bytes OpenSSL sends for a host. */
async function opensslHello(servername: string): Promise<Buffer> {
  const [client, wire] = duplexPair();
  const socket = connect({ socket: client, servername, ALPNProtocols: ["h2", "http/1.1"] });
  socket.on("error", () => {});
  const bytes = await new Promise<Buffer>((resolve) => wire.once("data", resolve));
  socket.destroy();
  return bytes;
}

function readPieces(pieces: readonly Buffer[]): HelloRead {
  const reader = new ClientHelloReader(maxBytes);
  let read: HelloRead = { kind: "more" };
  for (const piece of pieces) {
    read = reader.push(piece);
    if (read.kind !== "more") break;
  }
  return read;
}

const nameIn = (read: HelloRead) =>
  read.kind === "hello" && read.hello.name !== undefined ? Buffer.from(read.hello.name).toString() : read.kind;

/** The message as records of these sizes, the last one with the rest. */
function asRecords(hello: Buffer, sizes: readonly number[]): Buffer {
  const message = hello.subarray(5);
  const out: Buffer[] = [];
  for (let at = 0, i = 0; at < message.length; i++) {
    const part = message.subarray(at, at + (sizes[i] ?? message.length));
    out.push(Buffer.of(22, 3, 1, part.length >> 8, part.length & 255), part);
    at += part.length;
  }
  return Buffer.concat(out);
}

test("OpenSSL's ClientHello names its host, cut into two segments at every byte", async () => {
  const hello = await opensslHello("api.example.com");
  assert.equal(nameIn(readPieces([hello])), "api.example.com");
  for (let at = 0; at <= hello.length; at++) {
    assert.equal(nameIn(readPieces([hello.subarray(0, at), hello.subarray(at)])), "api.example.com", `cut at ${at}`);
    if (at < hello.length) assert.equal(readPieces([hello.subarray(0, at)]).kind, "more", `only ${at} bytes`);
  }
  assert.equal(nameIn(readPieces([...hello].map((byte) => Buffer.of(byte)))), "api.example.com");
});

test("it names its host cut into two records at every byte, and into any records and segments", async () => {
  const hello = await opensslHello("api.example.com");
  for (let at = 1; at < hello.length - 5; at++)
    assert.equal(nameIn(readPieces([asRecords(hello, [at])])), "api.example.com", `cut at ${at}`);
  const sizes = fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 30 });
  fc.assert(
    fc.property(sizes, fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 30 }), (records, segments) => {
      const wire = asRecords(hello, records);
      const pieces: Buffer[] = [];
      for (let at = 0, i = 0; at < wire.length; i++) {
        pieces.push(wire.subarray(at, at + (segments[i] ?? wire.length)));
        at += segments[i] ?? wire.length;
      }
      assert.equal(nameIn(readPieces(pieces)), "api.example.com");
    }),
    { numRuns: 300 },
  );
});

test("a changed byte gives the name, another name, or a fault, and never more than an error of ours", async () => {
  const hello = await opensslHello("api.example.com");
  fc.assert(
    fc.property(fc.nat({ max: hello.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
      const changed = Buffer.from(hello);
      changed[at] = byte;
      readPieces([changed]);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      readPieces([Buffer.of(22, 3, 1), Buffer.from(bytes)]);
    }),
    { numRuns: 2000 },
  );
});

test("a message that never ends is read up to the bound", () => {
  const reader = new ClientHelloReader(maxBytes);
  const first = reader.push(Buffer.of(22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff));
  assert.equal(first.kind, "fault");
});
