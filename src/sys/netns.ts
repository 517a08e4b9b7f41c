import * as fs from "node:fs";
import type { Fd } from "./fd.ts";
import { fdNumber, openFile } from "./fd.ts";
import { lastErrno, libc } from "./libc.ts";
import { kernelRefusal } from "./errno.ts";

const cloneNewNet = 0x40000000;

/** The network namespace of the calling thread. @throws KernelError */
export function ownNetns(): Fd {
  return openFile("/proc/thread-self/ns/net", fs.constants.O_RDONLY);
}

/**
 * Runs `fn` with the main thread in another network namespace: sockets it opens and children it spawns belong there for good.
 * `fn` must be synchronous and must not start asynchronous work: a pool thread born inside would stay there.
 * @throws KernelError when the namespace cannot be entered, else whatever `fn` throws
 */
export function inNetns<T>(fd: Fd | number, fn: () => NotPromise<T>): T {
  using home = ownNetns();
  enter(fdNumber(fd));
  return leaveAfter(home, fn);
}

/** Runs `fn` in a new, empty network namespace, which lives on only if `fn` pins it. @throws as inNetns */
export function inNewNetns<T>(fn: () => NotPromise<T>): T {
  using home = ownNetns();
  if (libc().unshare(cloneNewNet) !== 0) throw kernelRefusal("make a network namespace", lastErrno());
  return leaveAfter(home, fn);
}

type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

function enter(fd: number): void {
  if (libc().setns(fd, cloneNewNet) !== 0) throw kernelRefusal("enter a network namespace", lastErrno());
}

function leaveAfter<T>(home: Fd, fn: () => NotPromise<T>): T {
  try {
    return fn();
  } finally {
    if (libc().setns(home.number, cloneNewNet) !== 0) {
      // Going on would configure the wrong namespace: nothing the process did next could be trusted.
      fs.writeSync(2, `nexus: cannot return to its network namespace (${kernelRefusal("setns", lastErrno()).errno}); stopping\n`);
      process.abort();
    }
  }
}
