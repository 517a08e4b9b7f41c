import { openClient } from "../api/client.ts";
import type { McpExchange } from "../api/server.ts";
import type { Log } from "../base/log.ts";
import type { McpOverHttp } from "../mcp/http.ts";

/**
 * Tools for assistants on the daemon's own socket. Loaded when the first one comes, for most daemons never meet any. Its calls go
 * through that socket like everybody's, as the daemon's user: so no tool may be for root alone.
 */
export class McpDoor implements AsyncDisposable {
  readonly #o: { socketPath: string; version: string; log: Log };
  #opened: Promise<{ http: McpOverHttp; close: () => Promise<void> }> | undefined;

  constructor(options: { socketPath: string; version: string; log: Log }) {
    this.#o = options;
  }

  async answer({ request, response, peer, signal }: McpExchange): Promise<void> {
    this.#opened ??= this.#open();
    const { http } = await this.#opened;
    await http.answer(request, response, {
      signal,
      onCall: (called) => this.#o.log.info({ uid: peer.uid, pid: peer.pid, ...called }, "an assistant calls a tool"),
    });
  }

  async #open(): Promise<{ http: McpOverHttp; close: () => Promise<void> }> {
    const { McpOverHttp } = await import("../mcp/http.ts");
    const client = openClient(this.#o.socketPath);
    const http = new McpOverHttp(client, { version: this.#o.version, readOnly: false });
    return {
      http,
      async close() {
        await http[Symbol.asyncDispose]();
        client.close();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#opened)?.close();
  }
}
