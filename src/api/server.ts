import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { type ByteStream, type Context, type ExecSession, type Handlers, type Peer, serverCloses } from "./contract.ts";
import { serveExec } from "./exec-server.ts";
import { execProtocol } from "./exec-stream.ts";
import { type Audience, listenUnix } from "./listen.ts";
import { openapiDocument } from "./openapi.ts";
import { type OperationId, operationOf, operations } from "./operations.ts";
import { makeReader, readBody, type RequestReader } from "./request.ts";
import { errorBodyOf, ndjson, sendBytes, sendError, sendJson, sendLines } from "./respond.ts";
import { makeRouter, type Match } from "./router.ts";
import { routeOf } from "./routes.ts";
import { withProgress } from "./progress-lines.ts";
import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { nodeHttp } from "../base/node-http.ts";

export type ServerOptions = {
  socketPath: string;
  audience: Audience;
  version: string;
  handlers: Handlers;
  /** Who is at the other end; asked once for each connection. A throw refuses the connection. */
  peerOf: (socket: Socket) => Peer;
  log: Log;
  /** Answers what comes for `/mcp` and `/mcp/readonly`: tools for assistants, beside the route table. */
  mcp?: (exchange: McpExchange) => Promise<void>;
};

/** One HTTP request of an assistant. The signal aborts when it hangs up or the server closes. */
export type McpExchange = { request: IncomingMessage; response: ServerResponse; peer: Peer; signal: AbortSignal; readOnly: boolean };

export type ApiServer = {
  /** A second door where the first was, whose name somebody took away; callers who are in stay. @throws NexusError daemon-running */
  reopen(): Promise<void>;
  /** Takes no more callers, ends streams, lets running requests finish for `graceMs`, then cuts what is left. */
  close(graceMs?: number): Promise<void>;
};

type Door = {
  options: ServerOptions;
  readers: Map<OperationId, RequestReader>;
  peers: WeakMap<Duplex, Peer>;
  closing: AbortController;
  upgraded: Set<Duplex>;
};
type AnyHandler = (input: unknown, context: Context) => Promise<unknown>;
type Matcher = (method: string, path: string) => Match;
type Found = Extract<Match, { kind: "found" }>;

/** Opens the door: the route table served over HTTP on a unix socket. @throws NexusError daemon-running */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const router = makeRouter();
  const readers = new Map((Object.keys(operations) as OperationId[]).map((id) => [id, makeReader(id)]));
  const door: Door = { options, readers, peers: new WeakMap(), closing: new AbortController(), upgraded: new Set() };
  const servers = [await openDoor(door, router.match)];
  return {
    reopen: async () => void servers.push(await openDoor(door, router.match)),
    close: async (graceMs = 5000) => void (await Promise.all(servers.map((server) => closeServer(door, server, graceMs)))),
  };
}

async function openDoor(door: Door, match: Matcher): Promise<Server> {
  // requestTimeout bounds the arrival of a request, never its answer, so streams may last.
  const server = nodeHttp().createServer({
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 60_000,
    maxHeaderSize: 16_384,
  });
  server.on("connection", (socket: Socket) => greet(door, socket));
  server.on("request", (request, response) => {
    // A connection that falls idle after close() began would keep the server open until its keep-alive ends.
    response.once("close", () => door.closing.signal.aborted && setImmediate(() => server.closeIdleConnections()));
    void answer(door, match, { request, response });
  });
  server.on("upgrade", (request, socket, head) => void upgrade(door, match, { request, socket, head }));
  server.on("clientError", (_error, socket) => socket.destroy());
  await listenUnix(server, door.options.socketPath, door.options.audience);
  return server;
}

function greet(door: Door, socket: Socket): void {
  try {
    door.peers.set(socket, door.options.peerOf(socket));
  } catch (error) {
    door.options.log.warn({ error: String(error) }, "a caller's identity could not be read; refused");
    socket.destroy();
  }
}

type Exchange = { request: IncomingMessage; response: ServerResponse };

async function answer(door: Door, match: Matcher, { request, response }: Exchange): Promise<void> {
  const since = performance.now();
  const { log } = door.options;
  try {
    const { path, search } = splitUrl(request.url ?? "/");
    if (Object.hasOwn(mcpPaths, path) && door.options.mcp !== undefined) {
      // Whoever asks for less here would get all: the path alone decides.
      if (search !== "")
        throw new NexusError("usage", `${path} takes nothing after "?"`, { hint: "POST /mcp/readonly has only tools that change nothing" });
      const peer = door.peers.get(request.socket);
      if (peer === undefined) throw new NexusError("not-permitted", "the caller is unknown");
      return await door.options.mcp({ request, response, peer, signal: signalOf(door, response), readOnly: mcpPaths[path] === "reads" });
    }
    const found = match(request.method ?? "", path);
    if (found.kind !== "found") return refuse(response, found, `${request.method} ${path}`);
    const operation = operationOf(found.id);
    if (operation.answers === "upgrade") throw new NexusError("usage", `${found.id} needs the header Upgrade: ${execProtocol}`);
    const peer = permittedPeer(door, request.socket, found.id);
    const body = await readBody(request, routeOf(found.id).bodyLimit);
    const input = readerOf(door, found.id)({ params: found.params, search, body });
    const context: Context = { peer, signal: signalOf(door, response), progress() {}, log };
    const handler = handlerOf(door, found.id);
    switch (operation.answers) {
      case "events":
        return await sendLines(response, (await handler(input, context)) as AsyncIterable<unknown>, context);
      case "bytes":
        return await sendBytes(response, (await handler(input, context)) as ByteStream, context.signal);
      case "progress":
        if (request.headers.accept?.includes(ndjson) === true)
          return await sendLines(response, withProgress(handler, input, context), context);
        break;
      case "json":
        break;
    }
    const value = await handler(input, context);
    sendJson(response, routeOf(found.id).status ?? 200, value, timing(since));
  } catch (error) {
    sendError(response, errorBodyOf(error, log), timing(since));
  }
}

async function upgrade(door: Door, match: Matcher, call: { request: IncomingMessage; socket: Duplex; head: Buffer }): Promise<void> {
  const { request, socket, head } = call;
  const { log } = door.options;
  try {
    socket.on("error", () => {});
    const { path, search } = splitUrl(request.url ?? "/");
    const found = match(request.method ?? "", path);
    if (found.kind !== "found" || operationOf(found.id).answers !== "upgrade" || request.headers.upgrade?.toLowerCase() !== execProtocol) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const peer = permittedPeer(door, socket, found.id);
    door.upgraded.add(socket);
    const gone = new AbortController();
    socket.on("close", () => (door.upgraded.delete(socket), gone.abort()));
    const signal = AbortSignal.any([gone.signal, door.closing.signal]);
    const start = async (body: unknown, progress: Context["progress"]) => {
      const context: Context = { peer, signal, progress, log };
      return (await handlerOf(door, found.id)(readerOf(door, found.id)({ params: found.params, search, body }), context)) as ExecSession;
    };
    await serveExec(socket, { head, start, callOff: () => gone.abort(), log });
  } catch (error) {
    log.warn({ error: String(error) }, "an upgrade failed");
    socket.destroy();
  }
}

function refuse(response: ServerResponse, found: Exclude<Match, Found>, asked: string): void {
  if (found.kind === "no-path")
    return sendError(response, {
      code: "not-found",
      message: `${asked} is no operation of this API`,
      hint: "GET /v1/openapi.json lists them",
    });
  const allow = found.allow.join(", ");
  sendJson(response, 405, { error: { code: "usage", message: `${asked} is not possible; ${allow} is` } }, { allow });
}

function permittedPeer(door: Door, socket: Duplex, id: OperationId): Peer {
  const peer = door.peers.get(socket);
  if (peer === undefined) throw new NexusError("not-permitted", "the caller is unknown");
  // Whose process this is could end it anyway.
  const mayAll = peer.uid === 0 || peer.uid === process.getuid?.();
  if (operationOf(id).who === "root" && !mayAll) {
    throw new NexusError("not-permitted", `${id} is for root, and the caller has uid ${peer.uid}`, { hint: "use sudo" });
  }
  return peer;
}

function handlerOf(door: Door, id: OperationId): AnyHandler {
  if (id === "openapi") return () => Promise.resolve(openapiDocument(door.options.version));
  return door.options.handlers[id] as AnyHandler;
}

function readerOf(door: Door, id: OperationId): RequestReader {
  const reader = door.readers.get(id);
  if (reader === undefined) throw new TypeError(`no reader for ${id}`);
  return reader;
}

function signalOf(door: Door, response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  response.once("close", () => response.writableFinished || gone.abort());
  return AbortSignal.any([gone.signal, door.closing.signal]);
}

function timing(since: number): Record<string, string> {
  return { "server-timing": `app;dur=${(performance.now() - since).toFixed(3)}` };
}

/** A path of its own, because the person who gives an assistant its tools writes down one address. */
const mcpPaths: Readonly<Record<string, "all" | "reads">> = { "/mcp": "all", "/mcp/readonly": "reads" };

function splitUrl(url: string): { path: string; search: string } {
  const mark = url.indexOf("?");
  return mark === -1 ? { path: url, search: "" } : { path: url.slice(0, mark), search: url.slice(mark + 1) };
}

async function closeServer(door: Door, server: Server, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  door.closing.abort(serverCloses);
  const cut = setTimeout(() => {
    server.closeAllConnections();
    for (const socket of door.upgraded) socket.destroy();
  }, graceMs);
  await closed;
  clearTimeout(cut);
}
