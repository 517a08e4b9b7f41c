import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openClient } from "../../src/api/client.ts";
import { NexusError } from "../../src/base/errors.ts";

test("a daemon that dies in the middle of an answer is said to have, whatever the answer was", async () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-cut-"));
  const socketPath = join(directory, "s");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n{"progress":"half"}\r\n', () =>
        setTimeout(() => socket.destroy(), 20),
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const client = openClient(socketPath);
  const cut = (error: unknown) =>
    error instanceof NexusError && error.code === "daemon-unreachable" && /did not answer/.test(error.message);
  const drain = async (stream: AsyncIterable<unknown>) => {
    for await (const _ of stream);
  };
  try {
    await assert.rejects(client.call("health"), cut);
    await assert.rejects(
      client.follow("node.start", { params: { name: "a" } }, () => {}),
      cut,
    );
    await assert.rejects(async () => drain(await client.events("event.list")), cut);
    await assert.rejects(async () => drain(await client.bytes("node.logs", { params: { name: "a" } })), cut);
  } finally {
    client.close();
    server.close();
    rmSync(directory, { recursive: true });
  }
});
