import * as fs from "node:fs";
import { kernelRefusal } from "./errno.ts";
import { type Fd, openFile } from "./fd.ts";
import { lastErrno, libc } from "./libc.ts";
import { mountAt, mountFlags, unshare, unshareFlags } from "./mount.ts";

/** The mount namespace of the calling thread. @throws KernelError */
export function ownMounts(): Fd {
  return openFile("/proc/thread-self/ns/mnt", fs.constants.O_RDONLY);
}

/**
 * Runs `fn` with the main thread in another mount namespace. `fn` must be synchronous, as in inNetns, and sees that namespace's
 * root as its working directory. @throws KernelError when the namespace cannot be entered, else whatever `fn` throws
 */
export function inMounts<T>(mounts: Fd, fn: () => NotPromise<T>): T {
  using home = ownMounts();
  using directory = openFile(".", fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  // Threads share their root and working directory, and setns(2) then refuses; those born later share this thread's again.
  unshare(unshareFlags.fs);
  enter(mounts);
  try {
    return fn();
  } finally {
    leave(home, directory);
  }
}

/** As inMounts, in a new copy of the namespace: nothing mounted there shows anywhere else, and children spawned there keep it alive. */
export function inCopyOfMounts<T>(mounts: Fd, fn: () => NotPromise<T>): T {
  return inMounts(mounts, () => {
    unshare(unshareFlags.mounts);
    mountAt({ source: null, target: "/", type: null, flags: mountFlags.recursive | mountFlags.private, op: "make mounts private" });
    return fn();
  });
}

type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

function enter(mounts: Fd): void {
  if (libc().setns(mounts.number, cloneNewMounts) !== 0) throw kernelRefusal("enter a mount namespace", lastErrno());
}

function leave(home: Fd, directory: Fd): void {
  if (libc().setns(home.number, cloneNewMounts) === 0 && libc().fchdir(directory.number) === 0) return;
  // Going on would read and write another tree of files: nothing the process did next could be trusted.
  fs.writeSync(2, `nexus: cannot return to its mount namespace (${kernelRefusal("setns", lastErrno()).errno}); stopping\n`);
  process.abort();
}

const cloneNewMounts = 0x20000;
