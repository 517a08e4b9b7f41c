import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { mcpServer, type Offer } from "./server.ts";
import type { Client } from "../api/client.ts";

/** Serves an assistant that started us: JSON-RPC lines on our standard input and output. Resolves when it closes the input, or when the signal fires. */
export async function serveOverStdio(
  client: Client,
  offer: Offer,
  io: { stdin: Readable; stdout: Writable; signal: AbortSignal },
): Promise<void> {
  const served = serveStdio(() => mcpServer(client, offer), {
    transport: new StdioServerTransport(io.stdin, io.stdout, { maxBufferSize: mostMessageBytes }),
  });
  await once(io.stdin, "close", { signal: io.signal }).catch(() => undefined);
  await served.close();
}

const mostMessageBytes = 4 * 1024 * 1024;
