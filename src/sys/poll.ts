import * as fs from "node:fs";
import koffi, { type node } from "koffi";
import { NexusError } from "../base/errors.ts";
import { type Fd, fdNumber } from "./fd.ts";
import { kernelRefusal } from "./errno.ts";
import { checked, lastErrno, libc } from "./libc.ts";

/**
 * Calls `ready` from the event loop whenever the descriptor has something to read (or an end to report); level-triggered.
 * Errors thrown by `ready` are uncaught exceptions as from any event, and watching goes on.
 * Dispose the watch before the descriptor. A descriptor has one watch at most, and none if Node itself polls it.
 */
export class Watch implements Disposable {
  // libuv aborts the process on a second poll of one descriptor, and koffi lets an unreferenced handle be collected.
  static readonly #open = new Map<number, Watch>();

  readonly #fd: number;
  readonly #ready: () => void;
  readonly #handle: node.PollHandle;
  #closed = false;

  /** @throws KernelError when the descriptor is closed or cannot be polled, NexusError when it is watched already */
  constructor(fd: Fd | number, ready: () => void) {
    this.#fd = fdNumber(fd);
    this.#ready = ready;
    if (Watch.#open.has(this.#fd)) throw new NexusError("internal", `file descriptor ${this.#fd} is watched already`);
    checkPollable(this.#fd);
    this.#handle = koffi.node.poll(this.#fd, { readable: true }, this.#wake);
    Watch.#open.set(this.#fd, this);
  }

  /** Lets the process end while this watch is open. */
  unref(): this {
    this.#handle.unref();
    return this;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    Watch.#open.delete(this.#fd);
    this.#handle.close();
  }

  // Inside koffi's callback exceptions vanish and promises stall, so it only hands over to the event loop.
  readonly #wake = (): void => {
    if (this.#closed) return;
    this.#handle.stop();
    setImmediate(this.#run);
  };

  readonly #run = (): void => {
    if (this.#closed) return;
    try {
      this.#ready();
    } finally {
      if (!this.#closed) this.#handle.start({ readable: true }, this.#wake);
    }
  };
}

/** Resolves when the descriptor is readable. @throws the signal's reason when it fires first */
export function untilReadable(fd: Fd | number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const watch = new Watch(fd, () => {
      finish();
      resolve();
    });
    const abort = (): void => {
      finish();
      reject(signal?.reason);
    };
    const finish = (): void => {
      watch[Symbol.dispose]();
      signal?.removeEventListener("abort", abort);
    };
    signal?.addEventListener("abort", abort);
  });
}

/** Whether the descriptor is readable this instant (poll(2) with no wait). @throws KernelError */
export function isReadable(fd: Fd | number): boolean {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fdNumber(fd), true);
  entry.setInt16(4, pollIn, true);
  return checked("poll a file descriptor", libc().poll(new Uint8Array(entry.buffer), 1, 0)) > 0;
}

/** koffi aborts the process where epoll refuses, so epoll is asked first. */
function checkPollable(fd: number): void {
  // The epoll set would get the number of a closed descriptor and be asked about itself.
  checked(`watch file descriptor ${fd}`, libc().fcntl(fd, getDescriptorFlags, 0));
  const epoll = checked("make an epoll set", libc().epoll_create1(epollCloseOnExec));
  const refused = libc().epoll_ctl(epoll, epollAdd, fd, new Uint8Array(12)) !== 0;
  const errno = lastErrno();
  fs.closeSync(epoll);
  if (refused) throw kernelRefusal(`watch file descriptor ${fd}`, errno);
}

const getDescriptorFlags = 1;
const pollIn = 1;
const epollAdd = 1;
const epollCloseOnExec = 0o2000000;
