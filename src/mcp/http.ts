import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createMcpHandler, type McpHttpHandler } from "@modelcontextprotocol/server";
import { mcpServer, type Offer } from "./server.ts";
import type { Client } from "../api/client.ts";

/** The most one message may have: a file of 1 MiB, as JSON writes it. */
const mostMessageBytes = 4 * 1024 * 1024;

export type CalledTool = { tool: string; guest: string | undefined };

/** The tools over streamable HTTP, without sessions: each request stands alone, so nothing is kept for an assistant that went away. */
export class McpOverHttp implements AsyncDisposable {
  readonly #handler: McpHttpHandler;

  constructor(client: Client, offer: Offer) {
    this.#handler = createMcpHandler(() => mcpServer(client, offer), { maxRequestBodySize: mostMessageBytes });
  }

  /** Answers one request. `onCall` hears which tool is called before it is. */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    { signal, onCall }: { signal: AbortSignal; onCall: (called: CalledTool) => void },
  ): Promise<void> {
    const body = await bodyOf(request);
    if (body === "too-large") return void response.writeHead(413, { "content-type": "application/json" }).end(tooLarge);
    const parsed = jsonOf(body);
    for (const called of calledTools(parsed)) onCall(called);
    const asked = new Request("http://localhost/mcp", {
      method: request.method ?? "GET",
      headers: headersOf(request),
      signal,
      ...(body.length === 0 || request.method === "GET" || request.method === "HEAD" ? {} : { body: new Uint8Array(body) }),
    });
    const answer = await this.#handler.fetch(asked);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body !== null) {
      response.flushHeaders();
      await pass(answer.body, response, signal);
    }
    response.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handler.close();
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | "too-large"> {
  const chunks: Buffer[] = [];
  let size = 0;
  const arriving: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of arriving) {
    size += chunk.length;
    if (size > mostMessageBytes) return "too-large";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    // Of the connection, not of the message.
    if (value === undefined || ["connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"].includes(name)) continue;
    headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}

async function pass(body: ReadableStream<Uint8Array>, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted || response.destroyed) return;
      if (!response.write(value)) await once(response, "drain", { signal }).catch(() => undefined);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    // The protocol's own answer says what is wrong with it.
    return undefined;
  }
}

/** Whatever was sent; only well-formed calls are of interest. */
function calledTools(message: unknown): CalledTool[] {
  if (Array.isArray(message)) return message.flatMap(calledTools);
  const { method, params } = objectOf(message);
  if (method !== "tools/call") return [];
  const { name, arguments: given } = objectOf(params);
  const { guest } = objectOf(given);
  return [{ tool: String(name).slice(0, 64), guest: typeof guest === "string" ? guest.slice(0, 64) : undefined }];
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

const tooLarge = JSON.stringify({
  jsonrpc: "2.0",
  id: null,
  error: { code: -32600, message: `the message has more than ${mostMessageBytes} bytes` },
});
