import { rmSync } from "node:fs";
import { NexusError } from "../base/errors.ts";
import type { Fd } from "../sys/fd.ts";
import { untilReadable } from "../sys/poll.ts";
import { acceptUnix, listenUnix, receiveDescriptors } from "../sys/unix-socket.ts";

export { openPty, resizeTerminal } from "../sys/pty.ts";
export type { Fd } from "../sys/fd.ts";

/** A unix socket on which an OCI runtime hands over the terminal it made (`--console-socket`). The path must be free. */
export class ConsoleSocket implements Disposable {
  readonly path: string;
  readonly #listener: Fd;

  /** @throws KernelError */
  constructor(path: string) {
    this.path = path;
    this.#listener = listenUnix(path);
  }

  /** The controlling end of the terminal; the caller disposes it. @throws NexusError `timeout`; WireError; the signal's reason */
  async receive(limit: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<Fd> {
    const deadline = AbortSignal.timeout(limit.timeoutMs);
    const signal = limit.signal === undefined ? deadline : AbortSignal.any([deadline, limit.signal]);
    try {
      using connection = await this.#accept(signal);
      for (;;) {
        await untilReadable(connection, signal);
        const received = receiveDescriptors(connection);
        if (received === undefined) continue;
        const [terminal, ...rest] = received.descriptors;
        for (const extra of rest) extra[Symbol.dispose]();
        if (terminal !== undefined) return terminal;
        if (received.bytes.length === 0) throw new NexusError("runtime-failed", "the runtime closed the console socket without a terminal");
      }
    } catch (error) {
      if (!deadline.aborted || limit.signal?.aborted === true) throw error;
      throw new NexusError("timeout", `the runtime has sent no terminal within ${limit.timeoutMs} ms`);
    }
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
    rmSync(this.path, { force: true });
  }

  async #accept(signal: AbortSignal): Promise<Fd> {
    for (;;) {
      const connection = acceptUnix(this.#listener);
      if (connection !== undefined) return connection;
      await untilReadable(this.#listener, signal);
    }
  }
}
