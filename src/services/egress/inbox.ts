import type { Duplex } from "node:stream";

const nothing = Buffer.alloc(0);

/** Reads a stream piece by piece. Nothing is read ahead while nobody asks, so whoever sends too early waits. */
export class Inbox {
  readonly stream: Duplex;
  /** Read and not yet used. */
  held: Buffer = nothing;
  #over = false;
  #waiting: ((more: boolean) => void) | undefined;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.pause();
    stream.on("data", this.#onData);
    stream.on("end", this.#onOver);
    stream.on("close", this.#onOver);
  }

  /** The stream ended or broke; `held` may still have bytes. */
  get over(): boolean {
    return this.#over;
  }

  /** Waits for bytes and adds them to `held`; false when no more will come. */
  more(): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.stream.resume();
    });
  }

  /** Everything held. */
  take(): Buffer {
    const bytes = this.held;
    this.held = nothing;
    return bytes;
  }

  /** Forgets the first bytes of what is held. */
  use(bytes: number): void {
    this.held = this.held.subarray(bytes);
  }

  /** Gives the stream back, paused, and what was read too much. */
  release(): Buffer {
    this.stream.off("data", this.#onData);
    this.stream.off("end", this.#onOver);
    this.stream.off("close", this.#onOver);
    return this.take();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.stream.pause();
    this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    this.#wake(true);
  };

  readonly #onOver = (): void => {
    this.#over = true;
    this.#wake(false);
  };

  #wake(more: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(more);
  }
}

/** Writes and waits until the stream takes more; false when it broke. */
export async function send(stream: Duplex, chunks: readonly Buffer[]): Promise<boolean> {
  let room = true;
  if (chunks.length > 1) stream.cork();
  for (const chunk of chunks) room = stream.write(chunk);
  if (chunks.length > 1) stream.uncork();
  if (room || stream.destroyed) return !stream.destroyed;
  return await new Promise((resolve) => {
    const settle = () => {
      stream.off("drain", settle);
      stream.off("close", settle);
      resolve(!stream.destroyed);
    };
    stream.on("drain", settle);
    stream.on("close", settle);
  });
}
