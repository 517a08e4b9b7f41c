import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { NexusError } from "../base/errors.ts";
import { type Descriptor, indexTypes, manifestTypes } from "./manifest.ts";
import { Patience } from "./patience.ts";
import { formatReference, type ImageReference } from "./reference.ts";
import { fetchToken, isLoopbackHost, parseChallenge, storedCredentials } from "./registry-auth.ts";

/** How long a registry may send nothing. */
const defaultIdleMs = 30_000;

/**
 * Reads one repository of a registry (OCI distribution specification 1.1, "Pull"). Everything it gives was checked against its
 * digest. Its calls throw NexusError `image-missing`, `timeout` when the registry falls silent, or the signal's reason.
 */
export class Registry {
  readonly #reference: ImageReference;
  readonly #base: URL;
  readonly #credentialsFile: string | undefined;
  readonly #signal: AbortSignal;
  readonly #idleMs: number;
  #authorization: string | undefined;

  constructor(reference: ImageReference, options: { signal: AbortSignal; credentialsFile?: string; idleMs?: number }) {
    this.#reference = reference;
    const host = reference.registry === "docker.io" ? "registry-1.docker.io" : reference.registry;
    const bare = new URL(`http://${host}`).hostname;
    // Without encryption anyone on the way could read credentials; the digest protects only what is asked for by digest.
    this.#base = new URL(`${isLoopbackHost(bare) ? "http" : "https"}://${host}/v2/${reference.repository}/`);
    this.#credentialsFile = options.credentialsFile;
    this.#signal = options.signal;
    this.#idleMs = options.idleMs ?? defaultIdleMs;
  }

  /** A manifest or index by tag or digest, 4 MiB at the most. */
  async manifest(name: string): Promise<{ digest: string; bytes: Uint8Array }> {
    const bytes = await this.#small(`manifests/${name}`, { accept: [...manifestTypes, ...indexTypes].join(", ") });
    const digest = digestOf(bytes);
    if (name.startsWith("sha256:") && digest !== name) throw this.#failed(`its manifest has digest ${digest}, not ${name}`);
    return { digest, bytes };
  }

  /** A small blob, as a configuration is. */
  async blob(descriptor: Descriptor): Promise<Uint8Array> {
    const bytes = await this.#small(`blobs/${descriptor.digest}`, {});
    if (digestOf(bytes) !== descriptor.digest) throw this.#failed(`blob ${descriptor.digest} arrived as ${digestOf(bytes)}`);
    return bytes;
  }

  /** Streams a blob into a new file. When it throws, the file is worth nothing. */
  async download(descriptor: Descriptor, path: string, onBytes: (count: number) => void): Promise<void> {
    using patience = this.#patience();
    const response = await this.#get(`blobs/${descriptor.digest}`, {}, patience);
    const hash = createHash("sha256");
    await using file = await open(path, "wx", 0o600);
    let size = 0;
    for await (const piece of this.#pieces(response, patience)) {
      size += piece.length;
      if (size > descriptor.size)
        throw this.#failed(`blob ${descriptor.digest} is longer than the ${descriptor.size} bytes it should have`);
      hash.update(piece);
      onBytes(piece.length);
      await file.appendFile(piece);
    }
    const digest = `sha256:${hash.digest("hex")}`;
    if (digest !== descriptor.digest)
      throw this.#failed(`blob ${descriptor.digest} arrived as ${digest} (${size} of ${descriptor.size} bytes)`);
  }

  async #get(path: string, headers: Record<string, string>, patience: Patience): Promise<Response> {
    const url = new URL(path, this.#base);
    let response = await this.#fetch(url, headers, patience);
    if (response.status === 401) {
      await response.body?.cancel();
      this.#authorization = await this.#authorize(response.headers.get("www-authenticate") ?? "", patience);
      response = await this.#fetch(url, headers, patience);
    }
    if (response.ok) return response;
    const said = await this.#words(response, patience);
    if (response.status === 404)
      throw this.#failed(`the registry has no ${path.split("/", 1)[0]?.slice(0, -1)} ${path.slice(path.indexOf("/") + 1)}`);
    if (response.status === 401 || response.status === 403)
      throw this.#failed(`the registry refused access (${response.status}): ${said}`, "log in to the registry, or check the image's name");
    throw this.#failed(`${url.host} answered ${response.status}: ${said}`);
  }

  async #fetch(url: URL, headers: Record<string, string>, patience: Patience): Promise<Response> {
    try {
      // Redirects go to storage hosts; fetch drops the authorization when it leaves the origin.
      return await fetch(url, {
        signal: patience.signal,
        headers: { ...headers, ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }) },
      });
    } catch (error) {
      patience.signal.throwIfAborted();
      throw this.#failed(`${url.host} cannot be reached: ${causeOf(error)}`, "check the name and the network", error);
    }
  }

  async #authorize(header: string, patience: Patience): Promise<string> {
    const challenge = parseChallenge(header);
    const credentials = storedCredentials(this.#reference.registry, this.#credentialsFile);
    if (challenge?.scheme === "bearer") {
      const scope = `repository:${this.#reference.repository}:pull`;
      return `Bearer ${await fetchToken(challenge, { scope, credentials, signal: patience.signal })}`;
    }
    if (challenge?.scheme === "basic" && credentials !== undefined) return `Basic ${credentials}`;
    throw this.#failed(
      challenge === undefined ? `the registry asks for an unknown kind of login: ${header}` : "the registry wants a login",
      "log in with a container tool: its stored login is used",
    );
  }

  async #small(path: string, headers: Record<string, string>): Promise<Uint8Array> {
    using patience = this.#patience();
    const response = await this.#get(path, headers, patience);
    const limit = 4 << 20;
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const piece of this.#pieces(response, patience)) {
      size += piece.length;
      if (size > limit) throw this.#failed(`a document is larger than ${limit} bytes`);
      parts.push(piece);
    }
    return Buffer.concat(parts);
  }

  /** What a refusal says, as far as it is worth reading. */
  async #words(response: Response, patience: Patience): Promise<string> {
    let said = "";
    for await (const piece of this.#pieces(response, patience)) {
      said += Buffer.from(piece).toString("utf8");
      if (said.length >= 300) break;
    }
    return said.slice(0, 300);
  }

  async *#pieces(response: Response, patience: Patience): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of response.body ?? []) {
        patience.pause();
        yield piece;
        patience.begin();
      }
    } catch (error) {
      patience.signal.throwIfAborted();
      throw error instanceof NexusError ? error : this.#failed(`the connection broke: ${causeOf(error)}`, "try again", error);
    }
  }

  #patience(): Patience {
    return new Patience(this.#signal, {
      idleMs: this.#idleMs,
      onSilence: () =>
        new NexusError(
          "timeout",
          `image ${formatReference(this.#reference)}: ${this.#base.host} sent nothing for ${this.#idleMs / 1000} s`,
          {
            hint: "check the network, then try again",
          },
        ),
    });
  }

  #failed(problem: string, hint?: string, cause?: unknown): NexusError {
    return new NexusError("image-missing", `image ${formatReference(this.#reference)}: ${problem}`, { hint, cause });
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function causeOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
}
