import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, it } from "node:test";
import type { WireError } from "../../src/base/errors.ts";
import { SandboxMux } from "../../src/guests/sandbox-mux.ts";
import { encodeFrame, type Frame, FrameReader, muxWindow } from "../../src/wire/mux/frames.ts";

/** A mux with the guest's end of its port in our hands. */
function bed(serve?: (connection: Duplex) => void) {
  const [port, guest] = duplexPair();
  const seen: Frame[] = [];
  const reader = new FrameReader();
  guest.on("data", (bytes: Buffer) =>
    seen.push(...reader.take(bytes).map((frame) => ("bytes" in frame ? { ...frame, bytes: Buffer.from(frame.bytes) } : frame))),
  );
  const broken: WireError[] = [];
  const exits: { code: number; outOfMemory: boolean }[] = [];
  const mux = new SandboxMux({
    port,
    serve,
    exited: ({ code, outOfMemory }) => exits.push({ code, outOfMemory }),
    broken: (error) => broken.push(error),
  });
  const say = (frame: Frame): void => void guest.write(encodeFrame(frame));
  return { mux, seen, say, broken, exits, guest };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await turn();
};

describe("streams of a command in a virtual machine", () => {
  it("carries output and its end, and tells what was taken", async () => {
    const { mux, say, seen, exits } = bed();
    const stdout = mux.stream(2);
    const read: Buffer[] = [];
    stdout.on("data", (bytes: Buffer) => read.push(bytes));
    const ended = new Promise((resolve) => stdout.once("end", resolve));
    say({ kind: "data", stream: 2, bytes: Buffer.from("a\0\u00ff") });
    say({ kind: "end", stream: 2 });
    say({ kind: "exit", code: 7, outOfMemory: false });
    await ended;
    assert.equal(Buffer.concat(read).toString(), "a\0\u00ff");
    assert.deepEqual(seen, [{ kind: "credit", stream: 2, count: 4 }]);
    assert.deepEqual(exits, [{ code: 7, outOfMemory: false }]);
  });

  it("sends no more than the guest has room for, and goes on when it has", async () => {
    const { mux, say, seen } = bed();
    const stdin = mux.stream(1);
    const input = Buffer.alloc(muxWindow + 1000, 7);
    stdin.write(input);
    stdin.end();
    const sent = (): number => seen.reduce((sum, frame) => sum + (frame.kind === "data" ? frame.bytes.length : 0), 0);
    await settled();
    assert.equal(sent(), muxWindow);
    say({ kind: "credit", stream: 1, count: 5000 });
    await settled();
    assert.equal(sent(), input.length);
    assert.equal(seen.at(-1)?.kind, "end");
  });

  it("lets a slow reader hold back no other stream, and a guest that ignores its window break only itself", async () => {
    const { mux, say, broken } = bed();
    const [slow, fast] = [mux.stream(2), mux.stream(3)];
    let got = 0;
    fast.on("data", (bytes: Buffer) => (got += bytes.length));
    for (let i = 0; i < 4; i++) say({ kind: "data", stream: 2, bytes: Buffer.alloc(65_536) });
    say({ kind: "data", stream: 3, bytes: Buffer.alloc(100) });
    await settled();
    assert.equal(got, 100);
    assert.ok(slow.readableLength <= muxWindow);
    for (let i = 0; i < 4; i++) say({ kind: "data", stream: 2, bytes: Buffer.alloc(65_536) });
    await settled();
    assert.match(broken[0]?.message ?? "", /more than it may/);
  });

  it("gives connections the guest opens to the proxy, each with its own ends", async () => {
    const { say, seen } = bed((connection) => {
      connection.on("data", (bytes: Buffer) => connection.write(`got ${bytes.toString()}`));
      connection.on("end", () => connection.end("bye"));
    });
    say({ kind: "open", stream: 16 });
    say({ kind: "open", stream: 17 });
    say({ kind: "data", stream: 16, bytes: Buffer.from("one") });
    say({ kind: "data", stream: 17, bytes: Buffer.from("two") });
    say({ kind: "end", stream: 16 });
    await settled();
    const said = (stream: number): string =>
      seen.map((frame) => (frame.kind === "data" && frame.stream === stream ? Buffer.from(frame.bytes).toString() : "")).join("");
    assert.equal(said(16), "got onebye");
    assert.equal(said(17), "got two");
    assert.ok(seen.some((frame) => frame.kind === "end" && frame.stream === 16));
  });

  it("refuses connections when nothing serves them, and too many", async () => {
    const refused = bed();
    refused.say({ kind: "open", stream: 16 });
    await settled();
    assert.deepEqual(refused.seen, [{ kind: "reset", stream: 16 }]);
    const served: Duplex[] = [];
    const flooded = bed((connection) => served.push(connection));
    for (let stream = 16; stream < 2016; stream++) flooded.say({ kind: "open", stream });
    await settled();
    assert.ok(served.length >= 1000 && served.length <= 1025, String(served.length));
    assert.equal(flooded.seen.filter((frame) => frame.kind === "reset").length, 2000 - served.length);
  });

  it("keeps little for a guest that does not read, whatever room it says to have", async () => {
    const [port, guest] = duplexPair();
    const broken: WireError[] = [];
    const served: Duplex[] = [];
    new SandboxMux({
      port,
      serve: (connection) => served.push(connection),
      exited: () => undefined,
      broken: (error) => broken.push(error),
    });
    const say = (frame: Frame): void => void guest.write(encodeFrame(frame));
    for (let stream = 16; stream < 116; stream++) say({ kind: "open", stream });
    await settled();
    for (const connection of served) connection.write(Buffer.alloc(muxWindow));
    await settled();
    assert.ok(port.writableLength < 2 * 65_536 + 100, String(port.writableLength));
    say({ kind: "credit", stream: 16, count: 0xffff_ffff });
    await settled();
    assert.match(broken[0]?.message ?? "", /taken more than it was sent/);
  });

  it("gives up a guest that asks without end and reads no answer", async () => {
    const [port, guest] = duplexPair();
    const broken: WireError[] = [];
    new SandboxMux({ port, serve: undefined, exited: () => undefined, broken: (error) => broken.push(error) });
    for (let stream = 16; stream < 200_016 && broken.length === 0; stream++)
      if (!guest.write(encodeFrame({ kind: "open", stream }))) await turn();
    await settled();
    assert.match(broken[0]?.message ?? "", /does not read/);
  });

  it("ends the conversation with a guest that opens what is not its to open", async () => {
    for (const stream of [0, 1, 2, 15]) {
      const { say, broken } = bed(() => undefined);
      say({ kind: "open", stream });
      await settled();
      assert.equal(broken.length, 1);
    }
  });

  it("ends every stream when the port has gone", async () => {
    const connections: Duplex[] = [];
    const { mux, say, guest } = bed((connection) => connections.push(connection));
    const stdout = mux.stream(2);
    const ended = new Promise((resolve) => stdout.once("end", resolve));
    stdout.resume();
    say({ kind: "open", stream: 16 });
    await settled();
    guest.destroy();
    mux.end();
    await ended;
    assert.equal(connections[0]?.destroyed, true);
  });
});
