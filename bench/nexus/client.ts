import { Agent, request } from "node:http";

export type Answer = {
  status: number;
  body: unknown;
  /** As the caller waits: connect excluded once the connection is kept, JSON included. */
  wallMs: number;
  /** Inside the daemon, from its Server-Timing header. */
  appMs: number;
};

/** Calls a running nexusd over its unix socket; throws when it answers with an error. */
export class NexusClient {
  readonly #socketPath: string;
  readonly #agent: Agent;

  constructor(socketPath: string, connections = 1) {
    this.#socketPath = socketPath;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  async call(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<Answer> {
    const begin = performance.now();
    const { status, text, timing } = await this.#send({ method, path, text: body === undefined ? "" : JSON.stringify(body) });
    const wallMs = performance.now() - begin;
    if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text}`);
    return { status, body: text === "" ? undefined : JSON.parse(text), wallMs, appMs: appDuration(timing) };
  }

  /** An answer that is not JSON. */
  async text(path: string): Promise<string> {
    const { status, text } = await this.#send({ method: "GET", path, text: "" });
    if (status >= 400) throw new Error(`GET ${path}: ${status} ${text}`);
    return text;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #send(call: { method: string; path: string; text: string }): Promise<{ status: number; text: string; timing: string | undefined }> {
    return new Promise((resolve, reject) => {
      const headers = call.text === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(call.text) };
      const sent = request(
        { socketPath: this.#socketPath, agent: this.#agent, method: call.method, path: call.path, headers, timeout: 120_000 },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part: Buffer) => parts.push(part));
          answer.on("end", () =>
            resolve({
              status: answer.statusCode ?? 0,
              text: Buffer.concat(parts).toString(),
              timing: header(answer.headers["server-timing"]),
            }),
          );
          answer.on("error", reject);
        },
      );
      sent.on("timeout", () => sent.destroy(new Error(`${call.method} ${call.path}: no answer within 120 s`)));
      sent.on("error", reject);
      sent.end(call.text);
    });
  }
}

function header(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

function appDuration(timing: string | undefined): number {
  return Number(/\bapp;dur=([\d.]+)/.exec(timing ?? "")?.[1] ?? Number.NaN);
}
