import type { Duplex } from "node:stream";
import { NexusError } from "../base/errors.ts";

/** The line to a sandbox's first process, until its command begins. */
export class Gate {
  readonly #stream: Duplex;
  #said = "";
  #waiting: ((line: string | undefined) => void) | undefined;
  #ended = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (bytes: Buffer) => {
      this.#said += bytes.toString();
      this.#tell();
    });
    for (const event of ["error", "end", "close"])
      stream.on(event, () => {
        this.#ended = true;
        this.#tell();
      });
  }

  write(text: string): void {
    this.#stream.write(text);
  }

  /** The next line it says; undefined when it ends without. @throws NexusError `timeout`; the signal's reason */
  async line(signal?: AbortSignal): Promise<string | undefined> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
    const timer = setTimeout(() => reject(new NexusError("timeout", `a sandbox did not answer within ${deadlineMs} ms`)), deadlineMs);
    const abort = (): void => reject(signal?.reason as Error);
    signal?.addEventListener("abort", abort, { once: true });
    this.#waiting = resolve;
    this.#tell();
    try {
      return await promise;
    } finally {
      this.#waiting = undefined;
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  close(): void {
    this.#stream.destroy();
  }

  #tell(): void {
    if (this.#waiting === undefined) return;
    const end = this.#said.indexOf("\n");
    if (end === -1) return this.#ended ? this.#waiting(undefined) : undefined;
    const line = this.#said.slice(0, end);
    this.#said = this.#said.slice(end + 1);
    this.#waiting(line);
  }
}

/** For a busy machine; it takes some ten milliseconds. */
const deadlineMs = 30_000;
