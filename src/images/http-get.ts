import { NexusError } from "../base/errors.ts";
import { Patience } from "./patience.ts";

export type HttpOptions = {
  signal: AbortSignal;
  /** How long a server may send nothing. */
  idleMs: number;
  /** Headers for the server at that URL; asked again after each redirect, for that may be another server. */
  headers?: (url: URL) => Record<string, string>;
};

/** An answer and the address it came from at last. Its pieces can be read once. */
export type HttpAnswer = { response: Response; url: URL; pieces: () => AsyncGenerator<Uint8Array> };

/** A server that could not be reached, fell silent, broke off, or is too busy: another try may do better. */
export class PassingFault extends NexusError {}

const maxRedirects = 10;

/**
 * GET, following redirects, but none from https to http: whoever is on the way could then choose the answer.
 * `use` gets the answer whatever its status. @throws NexusError `image-missing`, PassingFault, what `use` throws, the signal's reason
 */
export async function httpGet<T>(start: string, options: HttpOptions, use: (answer: HttpAnswer) => Promise<T>): Promise<T> {
  let url = new URL(start);
  using patience = new Patience(options.signal, {
    idleMs: options.idleMs,
    onSilence: () =>
      new PassingFault("timeout", `${url.host} sent nothing for ${options.idleMs / 1000} s`, { hint: "check the network, then try again" }),
  });
  for (let hops = 0; hops <= maxRedirects; hops++) {
    const response = await request(url, options, patience);
    const location = redirectOf(response);
    try {
      if (location === undefined) return await use({ response, url, pieces: () => piecesOf(response, url, patience) });
      url = redirectTarget(url, location);
    } finally {
      // What was not read would keep the connection.
      await response.body?.cancel().catch(() => undefined);
    }
  }
  throw new NexusError("image-missing", `${start} leads through more than ${maxRedirects} redirects`, {
    hint: "give the address they should end at",
  });
}

/** The text of a small document. @throws NexusError as httpGet, and `too-large` */
export async function httpGetText(start: string, options: HttpOptions, maxBytes: number): Promise<string> {
  return httpGet(start, options, async ({ response, url, pieces }) => {
    if (!response.ok) throw statusFault(response, url);
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const piece of pieces()) {
      size += piece.length;
      if (size > maxBytes) throw new NexusError("too-large", `${url.href} is larger than ${maxBytes} bytes`);
      parts.push(piece);
    }
    return Buffer.concat(parts).toString("utf8");
  });
}

/** What a status other than 200 or 206 means. */
export function statusFault(response: Response, url: URL): NexusError {
  const said = `${url.host} answered ${response.status}${response.statusText === "" ? "" : ` (${response.statusText})`} for ${url.pathname}`;
  const passing = response.status >= 500 || response.status === 408 || response.status === 429;
  return passing
    ? new PassingFault("image-missing", said, { hint: "try again later" })
    : new NexusError("image-missing", said, { hint: "check the address" });
}

async function request(url: URL, options: HttpOptions, patience: Patience): Promise<Response> {
  patience.begin();
  try {
    // A transfer that is packed on the way cannot be resumed, and what is hashed is the file itself.
    const headers = { "accept-encoding": "identity", "user-agent": "nexus", ...options.headers?.(url) };
    return await fetch(url, { redirect: "manual", signal: patience.signal, headers });
  } catch (error) {
    patience.signal.throwIfAborted();
    throw new PassingFault("image-missing", `${url.host} cannot be reached: ${causeOf(error)}`, {
      hint: "check the address and the network",
      cause: error,
    });
  }
}

function redirectOf(response: Response): string | undefined {
  return [301, 302, 303, 307, 308].includes(response.status) ? (response.headers.get("location") ?? undefined) : undefined;
}

/** Where a redirect leads. @throws NexusError `image-missing` when it is not to be followed */
export function redirectTarget(from: URL, location: string): URL {
  const to = URL.parse(location, from);
  if (to === null || !["http:", "https:"].includes(to.protocol))
    throw new NexusError("image-missing", `${from.host} redirects to ${location.slice(0, 200)}, which is no http or https address`);
  if (from.protocol === "https:" && to.protocol === "http:")
    throw new NexusError("image-missing", `${from.host} redirects from https to http, which anyone on the way could change`, {
      hint: "give an address that stays on https",
    });
  return to;
}

async function* piecesOf(response: Response, url: URL, patience: Patience): AsyncGenerator<Uint8Array> {
  const encoding = response.headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity")
    throw new NexusError("image-missing", `${url.host} sends the file as ${encoding.slice(0, 40)}, which was not asked for`);
  try {
    for await (const piece of response.body ?? []) {
      patience.pause();
      yield piece;
      patience.begin();
    }
  } catch (error) {
    patience.signal.throwIfAborted();
    if (error instanceof NexusError) throw error;
    throw new PassingFault("image-missing", `the connection to ${url.host} broke: ${causeOf(error)}`, { hint: "try again", cause: error });
  }
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
}
