import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { NexusError } from "../../src/base/errors.ts";
import { execByAgent } from "../../src/guests/qga-exec.ts";
import { GuestAgent } from "../../src/guests/qga.ts";
import { until } from "../kernel/world/until.ts";
import { fakeAgent } from "./fake-agent.ts";

describe("an agent that lies", { timeout: 60_000 }, () => {
  let directory: string;
  let server: Server;
  let answer: (socket: Socket) => void;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "nexus-liar-"));
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      createInterface({ input: socket }).on("line", (line) => {
        const { execute, arguments: given } = JSON.parse(line.replace(/^[^{]*/, "")) as { execute: string; arguments: { id?: number } };
        if (execute === "guest-sync-delimited") socket.write(`${JSON.stringify({ return: given.id })}\n`);
        else answer(socket);
      });
    });
    server.listen(join(directory, "agent"));
    await once(server, "listening");
  });
  after(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const ask = async () => {
    using agent = await GuestAgent.connect(directory, "agent", { timeoutMs: 10_000 });
    return await agent.command("guest-info");
  };

  it("with an answer of many megabytes is not heard to its end", async () => {
    answer = (socket) => socket.write(`{"return":[${"{},".repeat(3_000_000)}0]}\n`);
    await assert.rejects(ask(), (error) => error instanceof NexusError && /longer than 1048576 bytes/.test(error.message));
  });

  it("that talks without being asked is heard no further, and neither is one that never says what it was asked", async () => {
    answer = (socket) => {
      socket.write('{"return":{}}\n');
      socket.write("\xff\n".repeat(100_000), "latin1");
    };
    using agent = await GuestAgent.connect(directory, "agent", { timeoutMs: 10_000 });
    await agent.ping();
    await until("the conversation is over", () => agent.closed);
    await assert.rejects(agent.ping(), (error) => error instanceof NexusError && /longer than 65536 bytes/.test(error.message));
    answer = (socket) => void socket.write("\xff\n".repeat(600_000), "latin1");
    await assert.rejects(ask(), (error) => error instanceof NexusError && /longer than 1048576 bytes/.test(error.message));
  });

  it("does not keep us with a command that was killed, whatever it says of it", async (t) => {
    using files = tempDirectory();
    const piece = Buffer.alloc(1000, "x").toString("base64");
    await using _ = await fakeAgent(files.path, ({ execute }) => {
      if (execute === "guest-exec") return { pid: 7 };
      if (execute === "guest-exec-status") return { exited: false };
      if (execute === "guest-file-open") return 1;
      if (execute === "guest-file-read") return { count: 1000, "buf-b64": piece, eof: true };
      return execute === "guest-sync-delimited" ? undefined : {};
    });
    using agent = await GuestAgent.connect(files.path, "agent", { timeoutMs: 10_000 });
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const done = Promise.withResolvers<void>();
    const session = await execByAgent(agent, { command: ["yes"], env: {} }, () => done.resolve());
    const ended: unknown[] = [];
    session.exitCode.catch((error: unknown) => ended.push(error));
    session.stdout.resume();
    const second = async () => {
      t.mock.timers.tick(1000);
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    for (let passed = 0; passed < 20; passed++) await second();
    assert.deepEqual(ended, [], "a command that runs may speak without end");
    session.kill("SIGKILL");
    for (let passed = 0; passed < 12; passed++) await second();
    assert.match(String(ended[0]), /not ended the command within 10 s of SIGKILL/);
    await done.promise;
  });

  it("puts neither much nor a terminal's commands into our messages", async () => {
    answer = (socket) =>
      socket.write(`${JSON.stringify({ error: { desc: `\x1b]0;owned\x07\x1b[2J\u009b31mno\n${"x".repeat(100_000)}` } })}\n`);
    await assert.rejects(ask(), (error) => {
      assert.ok(error instanceof NexusError);
      assert.match(error.message, /^the guest's agent refused guest-info: .*no x+$/);
      return error.message.length < 600 && Buffer.from(error.message).every((byte) => byte >= 0x20 && byte !== 0x9b);
    });
  });
});

function tempDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "nexus-liar-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
