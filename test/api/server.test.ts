import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { tmpdir } from "node:os";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { text } from "node:stream/consumers";
import { openClient } from "../../src/api/client.ts";
import { openapiDocument } from "../../src/api/openapi.ts";
import { operations } from "../../src/api/operations.ts";
import { startServer } from "../../src/api/server.ts";
import { errorCatalogue, NexusError, SpecError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { fakeDaemon } from "./fake-daemon.ts";

const scratch = mkdtempSync(join(tmpdir(), "nexus-door-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

type Raw = { status: number; headers: Record<string, string | string[] | undefined>; body: unknown };

async function raw(socketPath: string, method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Raw> {
  const call = request({
    socketPath,
    method,
    path,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
  });
  call.end(body);
  const [response] = await once(call, "response");
  const answer = await text(response);
  return { status: response.statusCode, headers: response.headers, body: answer === "" ? undefined : JSON.parse(answer) };
}

const codeOf = (code: string) => (error: unknown) => error instanceof NexusError && error.code === code;

describe("the door", () => {
  it("gives handlers checked values and defaults", async () => {
    const seen: unknown[] = [];
    await using daemon = await fakeDaemon({
      "node.stop": async (input) => {
        seen.push(input);
        throw new NexusError("wrong-state", "web is not running", { hint: "start it" });
      },
    });
    const client = openClient(daemon.socketPath);
    await assert.rejects(
      client.call("node.stop", { params: { name: "web" }, query: { grace: 3 } }),
      (error: NexusError) => error.code === "wrong-state" && error.hint === "start it",
    );
    await assert.rejects(client.call("node.stop", { params: { name: "web" } }), codeOf("wrong-state"));
    assert.deepEqual(seen, [
      { params: { name: "web" }, query: { grace: 3 }, body: undefined },
      { params: { name: "web" }, query: { grace: 10 }, body: undefined },
    ]);
    client.close();
  });

  it("lists every fault of path, query and body at once", async () => {
    await using daemon = await fakeDaemon();
    const answer = await raw(daemon.socketPath, "POST", "/v1/nodes?start=maybe&x=1", JSON.stringify({ name: "A_", mem: 1, colour: "red" }));
    assert.equal(answer.status, 400);
    const { error } = answer.body as { error: { code: string; details: { problems: { path: string }[] } } };
    assert.equal(error.code, "spec-invalid");
    assert.deepEqual(
      error.details.problems.map((p) => p.path).toSorted((a, b) => a.localeCompare(b)),
      ["colour", "mem", "name", "query.start", "query.x"],
    );
    const client = openClient(daemon.socketPath);
    await assert.rejects(
      client.call("network.create", { body: { name: "A_" } }),
      (error) => error instanceof SpecError && error.problems.length === 1,
    );
    client.close();
  });

  it("refuses unknown paths with 404 and unknown methods with 405 and Allow", async () => {
    await using daemon = await fakeDaemon();
    assert.equal((await raw(daemon.socketPath, "GET", "/v2/nodes")).status, 404);
    assert.equal((await raw(daemon.socketPath, "GET", "/v1/nodes/")).status, 404);
    assert.equal((await raw(daemon.socketPath, "GET", "/v1")).status, 404);
    const wrong = await raw(daemon.socketPath, "PUT", "/v1/networks");
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers["allow"], "GET, POST");
    assert.equal((await raw(daemon.socketPath, "GET", "/v1/nodes/%zz")).status, 400);
  });

  it("refuses bodies that are too large, no JSON, untyped, or not wanted", async () => {
    await using daemon = await fakeDaemon();
    const post = (body: string, headers = {}) => raw(daemon.socketPath, "POST", "/v1/networks", body, headers);
    assert.equal((await post("x".repeat(1024 * 1024 + 1))).status, 413);
    assert.equal((await post("x".repeat(1024 * 1024 + 1), { "transfer-encoding": "chunked" })).status, 413);
    assert.equal((await post("{")).status, 400);
    assert.equal((await post("{}", { "content-type": "text/plain" })).status, 400);
    assert.equal((await post("\xff", { "content-type": "application/json" })).status, 400);
    assert.equal((await raw(daemon.socketPath, "POST", "/v1/reconcile", "{}")).status, 400);
    assert.equal((await raw(daemon.socketPath, "POST", "/v1/networks")).status, 400);
  });

  it("gives every error of the catalogue its status and rebuilds it in the client", async () => {
    let code: keyof typeof errorCatalogue = "internal";
    await using daemon = await fakeDaemon({
      reconcile: async () => {
        throw new NexusError(code, "said", { hint: "do", details: { a: 1 } });
      },
    });
    const client = openClient(daemon.socketPath);
    for (code of Object.keys(errorCatalogue) as (keyof typeof errorCatalogue)[]) {
      assert.equal((await raw(daemon.socketPath, "POST", "/v1/reconcile")).status, errorCatalogue[code].http);
      await assert.rejects(
        client.call("reconcile"),
        (error: NexusError) => error.code === code && error.message === "said" && error.hint === "do" && error.details?.["a"] === 1,
      );
    }
    client.close();
  });

  it("tells the caller of a defect only an id, and the log the stack", async () => {
    await using daemon = await fakeDaemon({
      reconcile: async () => {
        throw new TypeError("secret inside");
      },
    });
    const { body, status } = await raw(daemon.socketPath, "POST", "/v1/reconcile");
    assert.equal(status, 500);
    assert.ok(!JSON.stringify(body).includes("secret"));
    const { id } = (body as { error: { details: { id: string } } }).error.details;
    assert.equal(daemon.logged[0]?.fields["id"], id);
    assert.match(String(daemon.logged[0]?.fields["error"]), /secret inside[\s\S]*server\.test\.ts/);
  });

  it("says how long the handler took", async () => {
    await using daemon = await fakeDaemon();
    assert.match(String((await raw(daemon.socketPath, "GET", "/v1/health")).headers["server-timing"]), /^app;dur=\d+\.\d{3}$/);
  });

  it("lets only root, and whose process it is, do what is root's", async () => {
    let ran = false;
    const own = process.getuid?.() ?? 0;
    const shutdown = async () => ((ran = true), { status: "ok" as const });
    await using daemon = await fakeDaemon({ shutdown }, { uid: own + 1000, gid: 1000, pid: 5 });
    assert.equal((await raw(daemon.socketPath, "POST", "/v1/shutdown")).status, 403);
    assert.equal(ran, false);
    for (const uid of [0, own]) {
      ran = false;
      await using asked = await fakeDaemon({ shutdown }, { uid, gid: 1000, pid: 5 });
      assert.equal((await raw(asked.socketPath, "POST", "/v1/shutdown")).status, 200);
      assert.equal(ran, true);
    }
  });

  it("sends progress as it happens, the result last, and errors in its place", async () => {
    const heard = Promise.withResolvers<void>();
    await using daemon = await fakeDaemon({
      "image.pull": async (input, context) => {
        context.progress("one");
        await heard.promise;
        context.progress("two");
        if (input.body.reference === "bad") throw new NexusError("image-missing", "no such image");
        return { reference: input.body.reference, kind: "oci" as const, sizeBytes: 1, usedBy: [] };
      },
    });
    const client = openClient(daemon.socketPath);
    const lines: string[] = [];
    const onProgress = (line: string) => (lines.push(line), heard.resolve());
    assert.equal((await client.follow("image.pull", { body: { reference: "a" } }, onProgress)).reference, "a");
    assert.deepEqual(lines, ["one", "two"]);
    await assert.rejects(client.follow("image.pull", { body: { reference: "bad" } }, onProgress), codeOf("image-missing"));
    assert.equal((await client.call("image.pull", { body: { reference: "plain" } })).reference, "plain");
    await assert.rejects(client.call("image.pull", { body: { reference: "bad" } }), codeOf("image-missing"));
    client.close();
  });

  it("streams events, ends them when the caller leaves, and refuses before it starts", { timeout: 10_000 }, async () => {
    const ended = Promise.withResolvers<void>();
    await using daemon = await fakeDaemon({
      "event.list": async ({ query }, { signal }) => {
        if (query.since === 99) throw new NexusError("not-found", "no such event");
        return (async function* () {
          yield { id: 1, at: "t", kind: "k", subject: "s", message: "m" };
          if (!query.follow) return;
          await once(signal, "abort");
          ended.resolve();
        })();
      },
    });
    const client = openClient(daemon.socketPath);
    await assert.rejects(client.events("event.list", { query: { since: 99 } }), codeOf("not-found"));
    const finite: number[] = [];
    for await (const event of await client.events("event.list")) finite.push(event.id);
    assert.deepEqual(finite, [1]);
    const leave = new AbortController();
    await assert.rejects(async () => {
      for await (const event of await client.events("event.list", { query: { follow: true } }, { signal: leave.signal }))
        if (event.id === 1) leave.abort();
    });
    await ended.promise;
    client.close();
  });

  it("sends no faster than the caller reads", { timeout: 20_000 }, async () => {
    let made = 0;
    await using daemon = await fakeDaemon({
      "node.logs": async () =>
        (async function* () {
          for (; made < 400; made++) yield Buffer.alloc(65536, made);
        })(),
    });
    const client = openClient(daemon.socketPath);
    const chunks = await client.bytes("node.logs", { params: { name: "a" } });
    let size = 0;
    let atFirst = 0;
    for await (const chunk of chunks) {
      if (size === 0) {
        for (let before = -1; before !== made; await new Promise(setImmediate)) before = made;
        atFirst = made;
      }
      size += chunk.length;
    }
    assert.equal(size, 400 * 65536);
    assert.ok(atFirst < 200, `${atFirst} chunks were made before the first was taken`);
    client.close();
  });

  it("closes with streams open and requests running", { timeout: 10_000 }, async () => {
    await using daemon = await fakeDaemon({
      "event.list": async () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }),
      reconcile: async (_input, { signal }) => {
        await once(signal, "abort");
        return { steps: ["done"] };
      },
    });
    const client = openClient(daemon.socketPath);
    const events = await client.events("event.list", { query: { follow: true } });
    const running = client.call("reconcile");
    await client.call("health");
    await daemon.server.close(2000);
    assert.deepEqual(await running, { steps: ["done"] });
    for await (const _event of events) assert.fail("no event was made");
    client.close();
    await assert.rejects(openClient(daemon.socketPath).call("health"), codeOf("daemon-unreachable"));
  });
});

describe("the socket", () => {
  const audience = { kind: "group", name: "nexus" } as const;
  const options = { version: "0", handlers: {} as never, peerOf: () => ({ uid: 0, gid: 0, pid: 1 }), log: silentLog, audience };

  it("is for its owner and group alone", async () => {
    await using daemon = await fakeDaemon();
    assert.equal(statSync(daemon.socketPath).mode & 0o7777, 0o660);
  });

  it("of a user's own daemon is for that user alone, who may do what is root's of the other", async () => {
    const socketPath = join(mkdtempSync(join(scratch, "own-")), "made", "s");
    const server = await startServer({ ...options, audience: { kind: "owner" }, socketPath });
    assert.equal(statSync(socketPath).mode & 0o7777, 0o600);
    assert.equal(statSync(dirname(socketPath)).mode & 0o7777, 0o700);
    await server.close();
  });

  it("is refused a path that no socket address can hold, with what to do", async () => {
    const socketPath = join(scratch, "x".repeat(100), "nexusd.sock");
    await assert.rejects(startServer({ ...options, socketPath }), codeOf("spec-invalid"));
    assert.equal(existsSync(dirname(socketPath)), false);
  });

  it("replaces one that a dead daemon left, and no other", async () => {
    const directory = mkdtempSync(join(scratch, "socket-"));
    const socketPath = join(directory, "s");
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    assert.ok(existsSync(socketPath));
    const server = await startServer({ ...options, socketPath });
    await assert.rejects(startServer({ ...options, socketPath }), codeOf("daemon-running"));
    await server.close();
    assert.ok(!existsSync(socketPath));
    writeFileSync(socketPath, "precious");
    await assert.rejects(startServer({ ...options, socketPath }), codeOf("daemon-running"));
    assert.ok(statSync(socketPath).isFile());
  });

  it("refuses callers whose identity cannot be read", async () => {
    const socketPath = join(mkdtempSync(join(scratch, "socket-")), "s");
    const server = await startServer({ ...options, socketPath, peerOf: () => assert.fail("no credentials") });
    await assert.rejects(openClient(socketPath).call("health"), codeOf("daemon-unreachable"));
    await server.close();
  });

  it("gives the client a remedy when nobody is there", async () => {
    const missing = openClient("/nonexistent/nexus.sock").call("health");
    await assert.rejects(
      missing,
      (error: NexusError) =>
        error.code === "daemon-unreachable" && /does not exist/.test(error.message) && /daemon start/.test(error.hint ?? ""),
    );
  });

  it("lets the client give up in time on a daemon that hangs", async () => {
    const socketPath = join(mkdtempSync(join(scratch, "socket-")), "s");
    const mute = createServer(() => {}).listen(socketPath);
    await once(mute, "listening");
    const client = openClient(socketPath);
    await assert.rejects(client.call("health", {}, { timeoutMs: 50 }), codeOf("timeout"));
    client.close();
    mute.close();
  });
});

describe("OpenAPI", () => {
  it("describes every operation once, and is the file in docs", async () => {
    const { readFileSync } = await import("node:fs");
    const root = join(import.meta.dirname, "../..");
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const document = openapiDocument(version);
    const ids = Object.values(document["paths"] as Record<string, Record<string, { operationId: string }>>).flatMap((path) =>
      Object.values(path).map((o) => o.operationId),
    );
    assert.deepEqual(new Set(ids), new Set(Object.keys(operations)));
    assert.equal(ids.length, Object.keys(operations).length);
    assert.deepEqual(
      JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8")),
      JSON.parse(JSON.stringify(document)),
      "run `node scripts/openapi.ts`",
    );
  });

  it("refers to nothing it does not define", () => {
    const document = openapiDocument("1");
    const defined = new Set(Object.keys((document["components"] as { schemas: object }).schemas));
    for (const [, name = ""] of JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)) assert.ok(defined.has(name), name);
  });

  it("is served by the daemon", async () => {
    await using daemon = await fakeDaemon();
    assert.equal(((await raw(daemon.socketPath, "GET", "/v1/openapi.json")).body as { openapi: string }).openapi, "3.1.0");
  });
});
