import { openClient } from "../api/client.ts";
import type { McpExchange } from "../api/server.ts";
import type { Log } from "../base/log.ts";
import type { McpOverHttp } from "../mcp/http.ts";

type Opened = { all: McpOverHttp; reads: McpOverHttp; close: () => Promise<void> };

/**
 * Tools for assistants on the daemon's own socket. Loaded when the first one comes, for most daemons never meet any. Its calls go
 * through that socket like everybody's, as the daemon's user: so no tool may be for root alone.
 */
export class McpDoor implements AsyncDisposable {
  readonly #o: { socketPath: string; version: string; log: Log };
  #opened: Promise<Opened> | undefined;

  constructor(options: { socketPath: string; version: string; log: Log }) {
    this.#o = options;
  }

  async answer({ request, response, peer, signal, readOnly }: McpExchange): Promise<void> {
    this.#opened ??= this.#open();
    const { all, reads } = await this.#opened;
    await (readOnly ? reads : all).answer(request, response, {
      signal,
      onCall: (called) => this.#o.log.info({ uid: peer.uid, pid: peer.pid, ...called }, "an assistant calls a tool"),
    });
  }

  async #open(): Promise<Opened> {
    const { McpOverHttp } = await import("../mcp/http.ts");
    const client = openClient(this.#o.socketPath);
    const { version } = this.#o;
    const all = new McpOverHttp(client, { version, readOnly: false });
    const reads = new McpOverHttp(client, { version, readOnly: true });
    return {
      all,
      reads,
      async close() {
        await Promise.all([all, reads].map((http) => http[Symbol.asyncDispose]()));
        client.close();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#opened)?.close();
  }
}
