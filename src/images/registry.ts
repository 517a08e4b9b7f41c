import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { NexusError } from "../base/errors.ts";
import { type Descriptor, indexTypes, manifestTypes } from "./manifest.ts";
import { formatReference, type ImageReference } from "./reference.ts";
import { fetchToken, isLoopbackHost, parseChallenge, storedCredentials } from "./registry-auth.ts";

/** Reads one repository of a registry (OCI distribution specification 1.1, "Pull"). Everything it gives was checked against its digest. */
export class Registry {
  readonly #reference: ImageReference;
  readonly #base: URL;
  readonly #credentialsFile: string | undefined;
  readonly #signal: AbortSignal;
  #authorization: string | undefined;

  constructor(reference: ImageReference, options: { signal: AbortSignal; credentialsFile?: string }) {
    this.#reference = reference;
    const host = reference.registry === "docker.io" ? "registry-1.docker.io" : reference.registry;
    const bare = new URL(`http://${host}`).hostname;
    // Without encryption anyone on the way could read credentials; the digest protects only what is asked for by digest.
    this.#base = new URL(`${isLoopbackHost(bare) ? "http" : "https"}://${host}/v2/${reference.repository}/`);
    this.#credentialsFile = options.credentialsFile;
    this.#signal = options.signal;
  }

  /** A manifest or index by tag or digest, 4 MiB at the most. */
  async manifest(name: string): Promise<{ digest: string; bytes: Uint8Array }> {
    const response = await this.#get(`manifests/${name}`, { accept: [...manifestTypes, ...indexTypes].join(", ") });
    const bytes = await this.#small(response, 4 << 20);
    const digest = digestOf(bytes);
    if (name.startsWith("sha256:") && digest !== name) throw this.#failed(`its manifest has digest ${digest}, not ${name}`);
    return { digest, bytes };
  }

  /** A small blob, as a configuration is. */
  async blob(descriptor: Descriptor): Promise<Uint8Array> {
    const bytes = await this.#small(await this.#get(`blobs/${descriptor.digest}`, {}), 4 << 20);
    if (digestOf(bytes) !== descriptor.digest) throw this.#failed(`blob ${descriptor.digest} arrived as ${digestOf(bytes)}`);
    return bytes;
  }

  /** Streams a blob into a new file. @throws NexusError when size or digest differ; the file is then worth nothing */
  async download(descriptor: Descriptor, path: string, onBytes: (count: number) => void): Promise<void> {
    const response = await this.#get(`blobs/${descriptor.digest}`, {});
    const hash = createHash("sha256");
    const file = createWriteStream(path, { flags: "wx", mode: 0o600 });
    let size = 0;
    try {
      for await (const piece of response.body ?? []) {
        size += piece.length;
        if (size > descriptor.size)
          throw this.#failed(`blob ${descriptor.digest} is longer than the ${descriptor.size} bytes it should have`);
        hash.update(piece);
        onBytes(piece.length);
        if (!file.write(piece)) await once(file, "drain", { signal: this.#signal });
      }
    } finally {
      file.end();
      await once(file, "close");
    }
    const digest = `sha256:${hash.digest("hex")}`;
    if (digest !== descriptor.digest)
      throw this.#failed(`blob ${descriptor.digest} arrived as ${digest} (${size} of ${descriptor.size} bytes)`);
  }

  async #get(path: string, headers: Record<string, string>): Promise<Response> {
    const url = new URL(path, this.#base);
    let response = await this.#fetch(url, headers);
    if (response.status === 401) {
      await response.body?.cancel();
      this.#authorization = await this.#authorize(response.headers.get("www-authenticate") ?? "");
      response = await this.#fetch(url, headers);
    }
    if (response.ok) return response;
    const said = (await response.text().catch(() => "")).slice(0, 300);
    if (response.status === 404)
      throw this.#failed(`the registry has no ${path.split("/", 1)[0]?.slice(0, -1)} ${path.slice(path.indexOf("/") + 1)}`);
    if (response.status === 401 || response.status === 403)
      throw this.#failed(`the registry refused access (${response.status}): ${said}`, "log in to the registry, or check the image's name");
    throw this.#failed(`${url.host} answered ${response.status}: ${said}`);
  }

  async #fetch(url: URL, headers: Record<string, string>): Promise<Response> {
    try {
      // Redirects go to storage hosts; fetch drops the authorization when it leaves the origin.
      return await fetch(url, {
        signal: this.#signal,
        headers: { ...headers, ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }) },
      });
    } catch (error) {
      this.#signal.throwIfAborted();
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw this.#failed(`${url.host} cannot be reached: ${cause}`, "check the name and the network", error);
    }
  }

  async #authorize(header: string): Promise<string> {
    const challenge = parseChallenge(header);
    const credentials = storedCredentials(this.#reference.registry, this.#credentialsFile);
    if (challenge?.scheme === "bearer") {
      const scope = `repository:${this.#reference.repository}:pull`;
      return `Bearer ${await fetchToken(challenge, { scope, credentials, signal: this.#signal })}`;
    }
    if (challenge?.scheme === "basic" && credentials !== undefined) return `Basic ${credentials}`;
    throw this.#failed(
      challenge === undefined ? `the registry asks for an unknown kind of login: ${header}` : "the registry wants a login",
      "log in with a container tool: its stored login is used",
    );
  }

  async #small(response: Response, limit: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const piece of response.body ?? []) {
      size += piece.length;
      if (size > limit) throw this.#failed(`a document is larger than ${limit} bytes`);
      parts.push(piece);
    }
    return Buffer.concat(parts);
  }

  #failed(problem: string, hint?: string, cause?: unknown): NexusError {
    return new NexusError("image-missing", `image ${formatReference(this.#reference)}: ${problem}`, { hint, cause });
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
