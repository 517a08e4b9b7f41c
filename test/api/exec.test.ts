import assert from "node:assert/strict";
import { connect } from "node:net";
import { once } from "node:events";
import { describe, it } from "node:test";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { openClient } from "../../src/api/client.ts";
import type { ExecCall } from "../../src/api/exec-client.ts";
import { encodeFrame, type Frame, FrameDecoder, framePayloadLimit } from "../../src/api/exec-stream.ts";
import { NexusError, WireError } from "../../src/base/errors.ts";
import { fakeDaemon, fakeSession } from "./fake-daemon.ts";

const bytes = fc.uint8Array({ maxLength: 300 });
const word = fc.integer({ min: 0, max: 65535 });
const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constantFrom("stdin" as const, "stdout" as const, "stderr" as const), bytes }) as fc.Arbitrary<Frame>,
  fc.constant<Frame>({ kind: "stdin-end" }),
  fc.record({ kind: fc.constant("resize" as const), columns: word, rows: word }),
  fc.record({ kind: fc.constant("signal" as const), signal: fc.constantFrom("SIGINT" as const, "SIGTERM" as const, "SIGUSR1" as const) }),
  fc.record({ kind: fc.constant("exit" as const), code: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) }),
  fc.record({ kind: fc.constantFrom("request" as const, "error" as const), json: fc.jsonValue() }) as fc.Arbitrary<Frame>,
);

describe("exec frames", () => {
  it("come back as they were, however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.infiniteStream(fc.integer({ min: 1, max: 40 })), (frames, cuts) => {
        const stream = Buffer.concat(frames.map(encodeFrame));
        const decoder = new FrameDecoder();
        const out: Frame[] = [];
        for (let at = 0; at < stream.length;) {
          const size = cuts.next().value ?? 1;
          out.push(...decoder.push(stream.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(out.map(plain), frames.map(plain));
      }),
    );
  });

  it("that are none give a WireError and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        try {
          new FrameDecoder().push(noise);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("announcing more than the limit are refused at once, before any of it is kept", () => {
    const header = Buffer.alloc(5);
    header.writeUInt8(1, 0);
    header.writeUInt32BE(framePayloadLimit + 1, 1);
    assert.throws(() => new FrameDecoder().push(header), WireError);
  });
});

describe("exec", { timeout: 20_000 }, () => {
  it("carries input, both outputs and the exit code", async () => {
    await using daemon = await fakeDaemon({
      "node.exec": async (input) =>
        fakeSession(async ({ stdin, stdout, stderr }) => {
          stderr.write(JSON.stringify(input.body));
          stdout.write((await text(stdin)).toUpperCase());
          return 42;
        }),
    });
    const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["cat"] });
    await call.send({ kind: "stdin", bytes: Buffer.from("hello ") });
    await call.send({ kind: "stdin", bytes: Buffer.from("you") });
    await call.send({ kind: "stdin-end" });
    assert.deepEqual(await collect(call), { code: 42, stdout: "HELLO YOU", stderr: '{"command":["cat"],"env":{}}' });
  });

  it("passes sizes and signals on, and gives the code a signal leads to", async () => {
    const session = fakeSession(async ({ signalled }) => ((await signalled) === "SIGINT" ? 130 : 1));
    await using daemon = await fakeDaemon({ "node.exec": async () => session });
    const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["sh"], terminal: { columns: 80, rows: 24 } });
    await call.send({ kind: "resize", columns: 100, rows: 30 });
    await call.send({ kind: "signal", signal: "SIGINT" });
    assert.equal((await collect(call)).code, 130);
    assert.deepEqual(session.sizes, ["100x30"]);
  });

  it("carries 20 MB each way unharmed at the pace of the slower side", async () => {
    await using daemon = await fakeDaemon({
      "node.exec": async () =>
        fakeSession(async ({ stdin, stdout }) => {
          for await (const chunk of stdin) if (!stdout.write(chunk)) await once(stdout, "drain");
          return 0;
        }),
    });
    const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["cat"] });
    const block = Buffer.alloc(2 * framePayloadLimit + 7, "nexus ");
    const sending = (async () => {
      for (let i = 0; i < 10; i++) await call.send({ kind: "stdin", bytes: block });
      await call.send({ kind: "stdin-end" });
    })();
    let at = 0;
    let same = true;
    const code = await call.finish((_stream, chunk) => {
      for (let i = 0; i < chunk.length; i += 997) same &&= chunk[i] === block[(at + i) % block.length];
      at += chunk.length;
    });
    await sending;
    assert.deepEqual({ code, at, same }, { code: 0, at: block.length * 10, same: true });
  });

  it("tells the command with SIGHUP that its caller hung up", async () => {
    const session = fakeSession(async ({ signalled }) => ((await signalled) === "SIGHUP" ? 129 : 1));
    await using daemon = await fakeDaemon({ "node.exec": async () => session });
    const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["sleep", "1000"] });
    const finished = assert.rejects(collect(call));
    call.close();
    assert.equal(await session.exitCode, 129);
    await finished;
  });

  it("tells how far what it waits for is, and has kept what was sent meanwhile", async () => {
    const begin = Promise.withResolvers<void>();
    await using daemon = await fakeDaemon({
      "node.exec": async (_input, { progress }) => {
        progress("half of it");
        await begin.promise;
        return fakeSession(async ({ stdin, stdout }) => (stdout.write(await text(stdin)), 0));
      },
    });
    const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["cat"] });
    for (const word of ["one ", "two "]) await call.send({ kind: "stdin", bytes: Buffer.from(word) });
    const block = Buffer.alloc(3 * framePayloadLimit, "x");
    const sending = call.send({ kind: "stdin", bytes: block }).then(() => call.send({ kind: "stdin-end" }));
    let out = "";
    const write = (_stream: string, chunk: Uint8Array) => void (out += Buffer.from(chunk).toString());
    const code = await call.finish(write, undefined, (line) => {
      assert.equal(line, "half of it");
      begin.resolve();
    });
    await sending;
    assert.deepEqual([code, out.slice(0, 8), out.length], [0, "one two ", 8 + block.length]);
  });

  it("is called off when its caller leaves, or sends what ends programs, before anything runs", async () => {
    for (const leave of [
      async (call: ExecCall) => call.close(),
      async (call: ExecCall) => {
        await call.send({ kind: "stdin", bytes: Buffer.from("input") });
        await call.send({ kind: "signal", signal: "SIGINT" });
      },
    ]) {
      const begun = Promise.withResolvers<void>();
      const calledOff = Promise.withResolvers<void>();
      await using daemon = await fakeDaemon({
        "node.exec": async (_input, { signal }) => {
          begun.resolve();
          await once(signal, "abort");
          calledOff.resolve();
          throw new NexusError("wrong-state", "called off");
        },
      });
      const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["cat"] });
      const finished = assert.rejects(collect(call));
      await begun.promise;
      await leave(call);
      await calledOff.promise;
      await finished;
    }
  });

  it("gives refusals as the errors they are", async () => {
    await using daemon = await fakeDaemon({
      "node.exec": async () => {
        throw new NexusError("wrong-state", "web is stopped");
      },
    });
    const client = openClient(daemon.socketPath);
    const refused = async (name: string, command: string[]) => {
      const call = await client.exec("node.exec", name, { command });
      return await collect(call).catch((error: unknown) => (error instanceof NexusError ? error.code : error));
    };
    assert.equal(await refused("web", ["x"]), "wrong-state");
    assert.equal(await refused("web", []), "spec-invalid");
    assert.equal(await refused("NO", ["x"]), "spec-invalid");
  });

  it("survives a session whose streams break with it, as when a virtual machine ends during a command", async () => {
    const gone = new NexusError("wrong-state", "the guest has ended");
    await using daemon = await fakeDaemon({
      "node.exec": async () => {
        const { promise: exitCode, reject } = Promise.withResolvers<number>();
        const session = { ...fakeSession(() => new Promise(() => undefined)), exitCode };
        exitCode.catch(() => [session.stdout, session.stderr].forEach((stream) => (stream as Readable).destroy(gone)));
        void setImmediate().then(() => reject(gone));
        return session;
      },
    });
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", note);
    try {
      const call = await openClient(daemon.socketPath).exec("node.exec", "web", { command: ["x"] });
      await assert.rejects(collect(call), { code: "wrong-state" });
      await setImmediate();
    } finally {
      process.off("unhandledRejection", note);
    }
    assert.deepEqual(unhandled, []);
  });

  it("answers noise on the upgraded connection with an error frame", async () => {
    await using daemon = await fakeDaemon();
    const socket = connect(daemon.socketPath);
    socket.write("POST /v1/nodes/web/exec HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: nexus-exec\r\n\r\n");
    await once(socket, "data");
    const decoder = new FrameDecoder();
    socket.write(Buffer.from([250, 0, 0, 0, 0]));
    const [chunk] = (await once(socket, "data")) as [Buffer];
    assert.equal(decoder.push(chunk)[0]?.kind, "error");
    socket.destroy();
  });

  it("refuses other upgrades, and exec without one", async () => {
    await using daemon = await fakeDaemon();
    for (const head of [
      "GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: nexus-exec\r\n\r\n",
      "POST /v1/nodes/web/exec HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ]) {
      const socket = connect(daemon.socketPath);
      socket.write(head);
      assert.match(await text(socket), /^HTTP\/1\.1 400 /);
    }
  });
});

async function collect(call: ExecCall): Promise<{ code: number; stdout: string; stderr: string }> {
  const out = { stdout: "", stderr: "" };
  const code = await call.finish((stream, chunk) => void (out[stream] += Buffer.from(chunk).toString()));
  return { code, ...out };
}

/** Buffers and byte arrays alike, and JSON as it survives JSON. */
function plain(frame: Frame): unknown {
  if ("bytes" in frame) return { ...frame, bytes: [...frame.bytes] };
  return "json" in frame ? { ...frame, json: JSON.parse(JSON.stringify(frame.json)) as unknown } : { ...frame };
}
