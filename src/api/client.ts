import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import type { Answer, Asked, IdsAnswering } from "./contract.ts";
import { errorFromBody, unreachableError } from "./client-errors.ts";
import { type ExecCall, execOver } from "./exec-client.ts";
import { readLines } from "./lines.ts";
import { operationOf, type OperationId } from "./operations.ts";
import type { ExecRequestInput } from "./routes.ts";
import { NexusError } from "../base/errors.ts";
import { nodeHttp } from "../base/node-http.ts";
import type { RunSpecInput } from "../spec/run.ts";

/** What a caller may give with every call. `timeoutMs` is until the answer is complete; streams have none. */
export type CallOptions = { signal?: AbortSignal; timeoutMs?: number };

type Given<Id extends OperationId> =
  Record<string, never> extends Asked<Id> ? [asked?: Asked<Id>, options?: CallOptions] : [asked: Asked<Id>, options?: CallOptions];

export type Client = {
  /** @throws NexusError as the daemon raised it; daemon-unreachable, or not-permitted when the socket is closed to this user */
  call<Id extends IdsAnswering<"json" | "progress">>(id: Id, ...given: Given<Id>): Promise<Answer<Id>>;
  /** As call, with each progress sentence as it comes. */
  follow<Id extends IdsAnswering<"progress">>(id: Id, asked: Asked<Id>, onProgress: (line: string) => void): Promise<Answer<Id>>;
  /** Resolves when the daemon has begun to answer. */
  events<Id extends IdsAnswering<"events">>(id: Id, ...given: Given<Id>): Promise<AsyncIterable<Answer<Id>>>;
  bytes<Id extends IdsAnswering<"bytes">>(id: Id, ...given: Given<Id>): Promise<ByteAnswer>;
  /** Leaves HTTP: runs a command in a guest, or joins its console. */
  exec(id: IdsAnswering<"upgrade">, name: string, request: ExecRequestInput | Record<string, never>): Promise<ExecCall>;
  /** Runs a command in a sandbox; hanging up cancels it. */
  run(request: RunSpecInput): Promise<ExecCall>;
  close(): void;
};

/** Bytes as they come, and what was said of them before. A daemon that fails meanwhile makes the iteration throw. */
export type ByteAnswer = AsyncIterable<Uint8Array> & Pick<IncomingMessage, "headers">;

type AnyAsked = { params?: Record<string, unknown>; query?: Record<string, unknown>; body?: unknown } | undefined;

/** A caller of the daemon on its unix socket. Connections are kept and used again; nothing is opened before the first call. */
export function openClient(socketPath: string): Client {
  const http = nodeHttp();
  const agent: Agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

  function send(
    id: OperationId,
    asked: AnyAsked,
    extra: { headers?: Record<string, string>; signal?: AbortSignal | undefined },
  ): Promise<IncomingMessage> {
    const body = asked?.body === undefined ? undefined : JSON.stringify(asked.body);
    const request: ClientRequest = http.request({
      socketPath,
      agent,
      method: operationOf(id).method,
      path: pathOf(id, asked),
      headers: {
        host: "nexus",
        ...(body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
        ...extra.headers,
      },
      ...(extra.signal === undefined ? {} : { signal: extra.signal }),
    });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request.on("response", resolve);
    request.on("error", (error) => reject(transportError(error, socketPath, extra.signal)));
    request.end(body);
    return promise;
  }

  async function open(
    id: OperationId,
    asked: AnyAsked,
    extra: { headers?: Record<string, string>; signal?: AbortSignal | undefined },
  ): Promise<IncomingMessage> {
    const response = await send(id, asked, extra);
    if ((response.statusCode ?? 500) >= 400) throw errorFromBody(await json(response), response.statusCode ?? 500);
    return response;
  }

  /** What comes of an answer; a daemon that dies in the middle is said to have. */
  async function* whole(response: IncomingMessage): AsyncGenerator<Buffer> {
    try {
      yield* response as AsyncIterable<Buffer>;
    } catch (error) {
      throw response.errored === null ? error : transportError(error, socketPath, undefined);
    }
  }

  return {
    async call(id, ...[asked, options]) {
      const signal = signalFor(options);
      try {
        return (await json(await open(id, asked as AnyAsked, { signal }))) as never;
      } catch (error) {
        throw transportError(error, socketPath, signal);
      }
    },
    async follow(id, asked, onProgress) {
      const response = await open(id, asked as AnyAsked, { headers: { accept: "application/x-ndjson" } });
      for await (const line of readLines(whole(response))) {
        const { progress, result, error } = line as { progress?: string; result?: unknown; error?: unknown };
        if (error !== undefined) throw errorFromBody(line, 500);
        if (result !== undefined) return result as never;
        if (progress !== undefined) onProgress(progress);
      }
      throw cutError(socketPath);
    },
    async events(id, ...[asked, options]) {
      return eventsOf(whole(await open(id, asked as AnyAsked, { signal: options?.signal }))) as never;
    },
    async bytes(id, ...[asked, options]) {
      const response = await open(id, asked as AnyAsked, { signal: options?.signal });
      return Object.assign(whole(response), { headers: response.headers });
    },
    exec: (id, name, request) => execOver({ http, socketPath, path: pathOf(id, { params: { name } }) }, request),
    run: (request) => execOver({ http, socketPath, path: pathOf("run.exec", {}) }, request),
    close: () => agent.destroy(),
  };
}

async function* eventsOf(response: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  for await (const line of readLines(response)) {
    if (typeof line === "object" && line !== null && "error" in line) throw errorFromBody(line, 500);
    yield line;
  }
}

function pathOf(id: OperationId, asked: AnyAsked): string {
  const path = operationOf(id).path.replace(/\{(\w+)\}/g, (_whole, name: string) =>
    encodeURIComponent(String(asked?.params?.[name] ?? "")),
  );
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(asked?.query ?? {})) if (value !== undefined) query.set(key, String(value));
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

async function json(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
  } catch {
    throw new NexusError("internal", `the daemon answered ${response.statusCode} without JSON`, {
      hint: "is another program serving this socket?",
    });
  }
}

function signalFor(options: CallOptions | undefined): AbortSignal | undefined {
  if (options?.timeoutMs === undefined) return options?.signal;
  const timeout = AbortSignal.timeout(options.timeoutMs);
  return options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
}

function transportError(error: unknown, socketPath: string, signal: AbortSignal | undefined): unknown {
  if (error instanceof NexusError) return error;
  if (signal?.aborted === true) {
    const late = signal.reason instanceof Error && signal.reason.name === "TimeoutError";
    return late ? new NexusError("timeout", "the daemon did not answer in time", { cause: error }) : signal.reason;
  }
  return unreachableError(error, socketPath);
}

function cutError(socketPath: string): NexusError {
  return unreachableError(new Error("the connection was cut before the answer was complete"), socketPath);
}
