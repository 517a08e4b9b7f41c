import type { ServerResponse } from "node:http";
import { once } from "node:events";
import { type ErrorBody, errorCatalogue, NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ByteStream } from "./contract.ts";
import { systemRefusal } from "../base/system-error.ts";

export const ndjson = "application/x-ndjson";

export function sendJson(response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}

/** An error of a request; one after the first byte of an answer can only cut the connection. */
export function sendError(response: ServerResponse, body: ErrorBody, headers: Record<string, string> = {}): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  sendJson(response, errorCatalogue[body.code].http, { error: body }, headers);
}

/**
 * What a caller is told of an error: one of ours as it is, a refused system call as the kernel's refusal. Any other was not
 * raised on purpose; it is logged under an id, and only the id is told.
 */
export function errorBodyOf(error: unknown, log: Log): ErrorBody {
  if (error instanceof NexusError) return error.toBody();
  const refusal = systemRefusal(error);
  if (refusal !== undefined) {
    log.error({ error: stackOf(error) }, "the host refused what a request needed");
    return refusal.toBody();
  }
  const known = error instanceof AggregateError ? error.errors.map(raised).find((inner) => inner !== undefined) : undefined;
  const id = crypto.randomUUID().slice(0, 8);
  if (known !== undefined && error instanceof AggregateError) {
    log.error({ id, error: String(error.stack), errors: error.errors.map(String) }, "a request failed in several ways");
    const all = error.errors.map((inner) => raised(inner)?.message ?? `a defect, logged as ${id}`);
    return { ...known.toBody(), message: [error.message, ...all].filter((line) => line !== "").join("\n") };
  }
  log.error({ id, error: stackOf(error) }, "a request met a defect");
  return {
    code: "internal",
    message: `a defect in Nexus; the daemon's log has it as ${id}`,
    hint: "see the log of nexusd",
    details: { id },
  };
}

function raised(error: unknown): NexusError | undefined {
  return error instanceof NexusError ? error : systemRefusal(error);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Sends what comes as it comes, no faster than the caller reads. An error after the first byte cuts the connection. */
export async function sendBytes(response: ServerResponse, chunks: ByteStream, signal: AbortSignal): Promise<void> {
  response.writeHead(200, { "content-type": "application/octet-stream", ...chunks.headers });
  response.flushHeaders();
  for await (const chunk of untilAborted(chunks, signal)) {
    await writeWithin(response, chunk, signal);
  }
  response.end();
}

/** One JSON object per line; an error becomes the last line, `{"error": …}`. */
export async function sendLines(
  response: ServerResponse,
  values: AsyncIterable<unknown>,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<void> {
  response.writeHead(200, { "content-type": ndjson });
  response.flushHeaders();
  try {
    for await (const value of untilAborted(values, signal)) {
      await writeWithin(response, `${JSON.stringify(value)}\n`, signal);
    }
    response.end();
  } catch (error) {
    if (signal.aborted) return;
    response.end(`${JSON.stringify({ error: errorBodyOf(error, log) })}\n`);
  }
}

/** Resolves when there is room for more, or when nobody reads any longer. */
async function writeWithin(response: ServerResponse, chunk: string | Uint8Array, signal: AbortSignal): Promise<void> {
  if (response.write(chunk) || signal.aborted || response.destroyed) return;
  await once(response, "drain", { signal }).catch(() => {});
}

/** Ends with the signal even when the source does not: a stream that waits for its next item must not hold the server open. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  const { promise: aborted, resolve } = Promise.withResolvers<{ done: true; value: undefined }>();
  const abort = () => resolve({ done: true, value: undefined });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    iterator.return?.().catch(() => {});
  }
}
