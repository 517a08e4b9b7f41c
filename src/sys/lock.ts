import * as fs from "node:fs";
import { NexusError } from "../base/errors.ts";
import { kernelRefusal } from "./errno.ts";
import { type Fd, openFile } from "./fd.ts";
import { lastErrno, libc } from "./libc.ts";

const lockExclusive = 2;
const lockNonBlocking = 4;
const ewouldblock = 11;

/**
 * Takes an exclusive flock(2) on a file, made when absent; held until disposed or the process ends. Undefined when another holds it.
 * @throws KernelError
 */
export function tryLockFile(path: string, mode = 0o600): Fd | undefined {
  const { O_RDWR, O_CREAT } = fs.constants;
  return tryLock(openFile(path, O_RDWR | O_CREAT, mode), path);
}

/** Takes an exclusive flock(2) on a directory, waiting a little for others. @throws KernelError; NexusError `timeout` */
export function lockDirectory(path: string, limit: { deadlineMs: number }): Fd {
  const { O_RDONLY, O_DIRECTORY } = fs.constants;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; waited <= limit.deadlineMs; waited++) {
    const locked = tryLock(openFile(path, O_RDONLY | O_DIRECTORY), path);
    if (locked !== undefined) return locked;
    // One millisecond; holders need far less, and a promise would let others run in between.
    Atomics.wait(sleeper, 0, 0, 1);
  }
  throw new NexusError("timeout", `the lock on ${path} was not given up within ${limit.deadlineMs} ms`);
}

function tryLock(fd: Fd, path: string): Fd | undefined {
  using stack = new DisposableStack();
  stack.use(fd);
  if (libc().flock(fd.number, lockExclusive | lockNonBlocking) !== 0) {
    const errno = lastErrno();
    if (errno === ewouldblock) return undefined;
    throw kernelRefusal(`lock ${path}`, errno);
  }
  stack.move();
  return fd;
}
