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
      using connection = await taken(this.#listener, signal, acceptUnix);
      for (;;) {
        const received = await taken(connection, signal, receiveDescriptors);
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
}

/** What comes, or has come by the time the signal does: of a sender that sent and ended, the end may be heard of first. @throws the signal's reason */
async function taken<T>(from: Fd, signal: AbortSignal, take: (from: Fd) => T | undefined): Promise<T> {
  for (;;) {
    const came = take(from);
    if (came !== undefined) return came;
    signal.throwIfAborted();
    try {
      await untilReadable(from, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
