import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { systemRefusal } from "../base/system-error.ts";
import { type HttpAnswer, httpGet, PassingFault, statusFault } from "./http-get.ts";
import type { Origin, PartialFile } from "./partial-file.ts";
import { megabytes, TransferProgress } from "./transfer-progress.ts";

export type DownloadOptions = {
  signal: AbortSignal;
  progress: (line: string) => void;
  /** How long a server may send nothing. */
  idleMs: number;
  /** Wait before the second try; it doubles with each. */
  retryMs: number;
  maxBytes: number;
  /** Asked with the bytes still to come, before they do. @throws when there is no room for them */
  room: (bytes: number) => void;
};

/** Tries without a single new byte before it gives up. */
const maxTries = 4;

/**
 * Fetches a file into `partial`, going on from what is there when the server still has the same (RFC 9110 §13.1.5, §14.2). A
 * connection that breaks is taken up again at once. When it throws, what came is kept, and worth going on from.
 * @throws NexusError `image-missing`, `timeout`, `too-large`; KernelError when the disk fails; the signal's reason
 */
export async function download(url: string, partial: PartialFile, options: DownloadOptions): Promise<void> {
  const transfer = new TransferProgress(options.progress);
  for (let tries = 1; ; tries++) {
    const before = partial.size;
    try {
      return await attempt(url, partial, { ...options, transfer });
    } catch (error) {
      if (!(error instanceof PassingFault)) throw error;
      if (partial.size > before) tries = 1;
      if (tries >= maxTries) throw withRest(error, partial.size);
      options.progress(`${error.message}; going on after ${megabytes(partial.size)}`);
      await delay(options.retryMs * 2 ** (tries - 1), undefined, { signal: options.signal }).catch(() => undefined);
      options.signal.throwIfAborted();
    }
  }
}

type Attempt = DownloadOptions & { transfer: TransferProgress };

async function attempt(url: string, partial: PartialFile, options: Attempt): Promise<void> {
  const known = partial.origin;
  const headers = (at: URL): Record<string, string> => rangeHeaders(known, partial.size, at);
  const { signal, idleMs } = options;
  const again = await httpGet(url, { signal, idleMs, headers }, (answer) => receive(answer, partial, options));
  if (again === "whole") await httpGet(url, { signal, idleMs }, (answer) => receive(answer, partial, options));
}

async function receive(answer: HttpAnswer, partial: PartialFile, options: Attempt): Promise<"done" | "whole"> {
  const { response, url } = answer;
  switch (response.status) {
    case 200: {
      const total = lengthOf(response);
      await partial.begin(originOf(response, url, total));
      await write(answer, partial, { ...options, total });
      return "done";
    }
    case 206: {
      const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
      if (range === null || Number(range[1]) !== partial.size) return startAnew(partial);
      await write(answer, partial, { ...options, total: Number(range[2]) });
      return "done";
    }
    case 416: {
      const total = /^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
      return partial.size > 0 && Number(total) === partial.size ? "done" : startAnew(partial);
    }
    default:
      throw statusFault(response, url);
  }
}

/** The server's idea of what is here is not ours. */
async function startAnew(partial: PartialFile): Promise<"whole"> {
  await partial.begin({ host: "" });
  return "whole";
}

async function write(answer: HttpAnswer, partial: PartialFile, options: Attempt & { total: number | undefined }): Promise<void> {
  const { total, maxBytes } = options;
  const tooLarge = (bytes: number): NexusError =>
    new NexusError(
      "too-large",
      `${answer.url.href} has ${total === undefined ? "more than " : ""}${bytes} bytes; at most ${maxBytes} are fetched`,
    );
  if (total !== undefined && total > maxBytes) throw tooLarge(total);
  if (total !== undefined) options.room(total - partial.size);
  for await (const piece of answer.pieces()) {
    if (partial.size + piece.length > (total ?? maxBytes)) throw tooLarge(total ?? maxBytes);
    try {
      await partial.append(piece);
    } catch (error) {
      throw systemRefusal(error, `write ${partial.path}`) ?? error;
    }
    options.transfer.update(partial.size, total);
  }
  if (total !== undefined && partial.size < total)
    throw new PassingFault("image-missing", `${answer.url.host} sent ${partial.size} of ${total} bytes`, { hint: "try again" });
}

/** A date is the same on every mirror; an entity tag is a matter of the server that made it (RFC 9110 §8.8). */
function rangeHeaders(origin: Origin | undefined, size: number, at: URL): Record<string, string> {
  const validator = origin?.host === at.host ? (origin.etag ?? origin.lastModified) : origin?.lastModified;
  return validator === undefined ? {} : { range: `bytes=${size}-`, "if-range": validator };
}

function originOf(response: Response, url: URL, total: number | undefined): Origin {
  const etag = response.headers.get("etag");
  const lastModified = response.headers.get("last-modified");
  return {
    host: url.host,
    ...(etag === null || etag.startsWith("W/") ? {} : { etag }),
    ...(lastModified === null ? {} : { lastModified }),
    ...(total === undefined ? {} : { total }),
  };
}

function lengthOf(response: Response): number | undefined {
  const text = response.headers.get("content-length");
  return text !== null && /^\d{1,20}$/.test(text) ? Number(text) : undefined;
}

function withRest(error: NexusError, size: number): NexusError {
  if (size === 0) return error;
  return new NexusError(error.code, `${error.message} (${megabytes(size)} are kept)`, {
    hint: "the next try goes on from there",
    cause: error,
  });
}
