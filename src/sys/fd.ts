import * as fs from "node:fs";
import { NexusError } from "../base/errors.ts";
import { asKernel } from "./errno.ts";
import { checked, libc } from "./libc.ts";

/** An open file descriptor. Whoever opens it disposes it; disposing twice is harmless. */
export class Fd implements Disposable {
  #number: number;

  /** Takes ownership of an open descriptor. */
  constructor(number: number) {
    this.#number = number;
  }

  /** @throws NexusError when it was closed */
  get number(): number {
    if (this.#number < 0) throw new NexusError("internal", "a file descriptor was used after it was closed");
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** Gives the number away: the new owner closes it. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  [Symbol.dispose](): void {
    if (this.#number < 0) return;
    const number = this.#number;
    // Linux frees the number whatever close(2) answers, so it is never tried again.
    this.#number = -1;
    fs.closeSync(number);
  }
}

/** The number behind an Fd or a plain number. */
export function fdNumber(fd: Fd | number): number {
  return typeof fd === "number" ? fd : fd.number;
}

/**
 * Opens a file, always close-on-exec (libuv adds O_CLOEXEC). `flags` are those of node:fs constants.
 * A given `mode` is what the file has afterwards, whatever the umask.
 * @throws KernelError
 */
export function openFile(path: string, flags: number, mode?: number): Fd {
  const fd = new Fd(asKernel(`open ${path}`, () => fs.openSync(path, flags, mode)));
  try {
    if (mode !== undefined && (flags & fs.constants.O_CREAT) !== 0)
      asKernel(`set the mode of ${path}`, () => fs.fchmodSync(fd.number, mode));
    return fd;
  } catch (error) {
    fd[Symbol.dispose]();
    throw error;
  }
}

/** A second descriptor of the same open file, close-on-exec (fcntl F_DUPFD_CLOEXEC). */
export function duplicate(fd: Fd | number): Fd {
  return new Fd(checked("duplicate a file descriptor", libc().fcntl(fdNumber(fd), fcntl.duplicateCloseOnExec, 0)));
}

const fcntl = { duplicateCloseOnExec: 1030 };
