import { closeSync, constants, fdatasync, openSync } from "node:fs";
import { stateFault } from "./faults.ts";

/**
 * Brings committed changes to the disk, for all who ask at the same time with one flush, while the event loop goes on.
 * After a failed flush nothing can be promised any more, since the kernel tells a lost write only once: every later call fails too.
 */
export class Flusher implements Disposable {
  readonly #file: string;
  #fd: number | undefined;
  #committed = 0;
  #flushed = 0;
  #running: Promise<void> | undefined;
  #broken: unknown;

  /** `file` is the write-ahead log; it need not exist before the first commit. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Something was committed: it is in the kernel's memory, so it survives this process but not yet the machine. */
  note(): void {
    this.#committed++;
  }

  /** Resolves when all that was committed before the call is on the disk. @throws KernelError, now and ever after, when the disk fails */
  async flush(): Promise<void> {
    const wanted = this.#committed;
    while (this.#flushed < wanted) {
      if (this.#broken !== undefined) throw this.#broken;
      this.#running ??= this.#start();
      await this.#running;
    }
  }

  [Symbol.dispose](): void {
    const fd = this.#fd;
    this.#fd = undefined;
    // The descriptor is another thread's while a flush runs.
    if (fd !== undefined) void (this.#running ?? Promise.resolve()).finally(() => closeSync(fd));
  }

  async #start(): Promise<void> {
    const upTo = this.#committed;
    try {
      this.#fd ??= openSync(this.#file, constants.O_RDONLY);
      await flushFile(this.#fd);
      this.#flushed = upTo;
    } catch (error) {
      this.#broken = stateFault(error, this.#file, "flush");
      throw this.#broken;
    } finally {
      this.#running = undefined;
    }
  }
}

function flushFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fdatasync(fd, (error) => (error === null ? resolve() : reject(error))));
}
