import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How a file is served. Everything is as a good server does it unless it is said otherwise. */
export type ServedFile = {
  content: Uint8Array;
  etag?: string;
  lastModified?: string;
  /** Answers a range with the whole file. */
  noRange?: boolean;
  /** Sends no length, as a server does that makes a file on the way. */
  chunked?: boolean;
  /** Breaks the connection after so many bytes of the n-th answer (from 1); undefined is not at all. */
  cutAfter?: (n: number) => number | undefined;
  /** Falls silent after so many bytes of the n-th answer. */
  silentAfter?: (n: number) => number | undefined;
  /** Waits for this before the body. */
  gate?: Promise<unknown>;
  /** Stands in the header in place of the true length. */
  claimedLength?: number;
  status?: number;
  location?: string;
  headers?: Record<string, string>;
};

/** A server on the loopback that serves images, well or badly. */
export class ImageServer implements AsyncDisposable {
  readonly url: string;
  readonly files = new Map<string, ServedFile>();
  /** Of every request so far: path and range. */
  readonly asked: { path: string; range: string | undefined; ifRange: string | undefined }[] = [];
  readonly #close: () => Promise<void>;

  static async start(): Promise<ImageServer> {
    let self: ImageServer | undefined;
    const server = createServer((request, response) => self?.answer(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    self = new ImageServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    });
    return self;
  }

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url;
    this.#close = close;
  }

  /** Serves it under that path; gives its URL, with its checksum. */
  put(path: string, file: ServedFile): { url: string; sha256: string; sha512: string; reference: string } {
    this.files.set(path, file);
    const [sha256, sha512] = ["sha256", "sha512"].map((kind) => createHash(kind).update(file.content).digest("hex")) as [string, string];
    return { url: `${this.url}${path}`, sha256, sha512, reference: `${this.url}${path}#sha256:${sha256}` };
  }

  countOf(path: string): number {
    return this.asked.filter((one) => one.path === path).length;
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    const file = this.files.get(path);
    this.asked.push({ path, range: request.headers.range, ifRange: request.headers["if-range"] as string | undefined });
    if (file === undefined) return void response.writeHead(404).end("no such file");
    void serve(file, { request, response, n: this.countOf(path) });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

async function serve(file: ServedFile, { request, response, n }: { request: IncomingMessage; response: ServerResponse; n: number }) {
  const headers: Record<string, string | number> = { ...file.headers };
  if (file.location !== undefined) return void response.writeHead(302, { location: file.location }).end();
  if (file.status !== undefined) return void response.writeHead(file.status, headers).end("sorry");
  if (file.etag !== undefined) headers["etag"] = file.etag;
  if (file.lastModified !== undefined) headers["last-modified"] = file.lastModified;
  const from = rangeStart(file, request);
  if (from !== undefined && from >= file.content.length)
    return void response.writeHead(416, { "content-range": `bytes */${file.content.length}` }).end();
  const body = file.content.subarray(from ?? 0);
  if (from !== undefined) headers["content-range"] = `bytes ${from}-${file.content.length - 1}/${file.content.length}`;
  if (file.chunked !== true) headers["content-length"] = file.claimedLength ?? body.length;
  response.writeHead(from === undefined ? 200 : 206, headers);
  response.flushHeaders();
  await file.gate;
  const cut = file.cutAfter?.(n);
  const silent = file.silentAfter?.(n);
  if (cut !== undefined) response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  else if (silent !== undefined) response.write(body.subarray(0, silent));
  else if (file.claimedLength !== undefined) response.write(body);
  else response.end(body);
}

/** Where the answer begins, when the server honours the range. */
function rangeStart(file: ServedFile, request: IncomingMessage): number | undefined {
  const start = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  const validator = request.headers["if-range"];
  if (start === undefined || file.noRange === true) return undefined;
  return validator === undefined || validator === file.etag || validator === file.lastModified ? Number(start) : undefined;
}

/** Waits for a condition, on a busy machine too. @throws Error after half a minute */
export async function eventually(condition: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${String(condition)} did not come true`);
    await delay(5);
  }
}
