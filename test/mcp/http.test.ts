import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { openClient, type Client } from "../../src/api/client.ts";
import { type CalledTool, McpOverHttp } from "../../src/mcp/http.ts";
import { type FakeDaemon, fakeDaemon } from "../api/fake-daemon.ts";

const accept = "application/json, text/event-stream";
const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "1" } },
};

describe("the HTTP entry for assistants", { timeout: 60_000 }, () => {
  let daemon: FakeDaemon;
  let client: Client;
  let door: McpOverHttp;
  const thrown: unknown[] = [];
  const called: CalledTool[] = [];
  const server = createServer((incoming, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    door.answer(incoming, response, { signal: gone.signal, onCall: (one) => called.push(one) }).catch((error: unknown) => {
      thrown.push(error);
      response.destroy();
    });
  });
  before(async () => {
    daemon = await fakeDaemon();
    client = openClient(daemon.socketPath);
    door = new McpOverHttp(client, { version: "0", readOnly: false });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(async () => {
    await door[Symbol.asyncDispose]();
    client.close();
    server.close();
    server.closeAllConnections();
    await daemon[Symbol.asyncDispose]();
  });

  async function send(
    body: string | Uint8Array,
    headers: Record<string, string> = {},
    method = "POST",
  ): Promise<{ status: number; body: string }> {
    const { port } = server.address() as AddressInfo;
    const call = request({
      port,
      host: "127.0.0.1",
      path: "/mcp",
      method,
      headers: { "content-type": "application/json", accept, ...headers },
    });
    call.end(body);
    const [response] = await once(call, "response");
    return { status: response.statusCode, body: await text(response) };
  }

  it("answers what is no message with the protocol's refusal, and goes on", async () => {
    for (const body of [
      "",
      "{",
      "[]",
      "null",
      "7",
      '"x"',
      "{}",
      '{"jsonrpc":"1.0"}',
      "[[[]]]",
      '{"jsonrpc":"2.0","id":{},"method":"tools/list"}',
      "\u0000",
    ]) {
      const said = await send(body);
      assert.ok(said.status >= 400 && said.status < 500, `${JSON.stringify(body)}: ${said.status} ${said.body}`);
    }
    assert.equal((await send("x", { "content-type": "text/plain" })).status, 415);
    assert.equal((await send("", {}, "DELETE")).status, 405);
    assert.equal((await send("", {}, "GET")).status, 405);
    assert.equal((await send(" ".repeat(4 * 1024 * 1024 + 1))).status, 413);
    assert.equal((await send(JSON.stringify(initialize))).status, 200);
  });

  it("meets whatever is sent with an answer, never with an error of its own", async () => {
    const method = fc.constantFrom(
      "tools/call",
      "tools/list",
      "initialize",
      "ping",
      "server/discover",
      "subscriptions/listen",
      "resources/read",
      "x",
    );
    const message = fc.record(
      {
        jsonrpc: fc.constantFrom("2.0", "1.0", 2),
        id: fc.oneof(fc.integer(), fc.string(), fc.constant(null)),
        method: fc.oneof(method, fc.string()),
        params: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const call = fc.record({
      name: fc.constantFrom("file_read", "guest_list", "network_why", "toString", "__proto__"),
      arguments: fc.jsonValue(),
    });
    const calls = call.map((params) => ({ jsonrpc: "2.0", id: 1, method: "tools/call", params }));
    const bodies = fc
      .oneof(message, calls, fc.array(message, { maxLength: 3 }), fc.jsonValue())
      .map((value) => JSON.stringify(value) as string | Uint8Array);
    const headers = fc.record(
      { "mcp-protocol-version": fc.constantFrom("2025-06-18", "2026-07-28", "x"), "mcp-method": fc.constantFrom("tools/call", "x") },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(bodies, fc.uint8Array({ maxLength: 60 })), headers, async (body, extra) => {
        const said = await send(body, extra);
        assert.ok(said.status >= 200 && said.status < 500, `${said.status} ${said.body}`);
        assert.deepEqual(thrown, []);
      }),
      { numRuns: 300 },
    );
    assert.equal((await send(JSON.stringify(initialize))).status, 200);
  });

  it("tells which tool is called, in words that are short whatever was sent", async () => {
    called.length = 0;
    const call = (name: unknown, guest: unknown) => ({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name, arguments: { guest } },
    });
    await send(JSON.stringify(call("file_read", "web")));
    await send(JSON.stringify(call("x".repeat(5000), ["y"])));
    await send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }));
    assert.deepEqual(called, [
      { tool: "file_read", guest: "web" },
      { tool: "x".repeat(64), guest: undefined },
    ]);
  });
});
