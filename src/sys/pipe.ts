import * as fs from "node:fs";
import { Fd } from "./fd.ts";
import { checked, libc } from "./libc.ts";

/** Both ends of a pipe, close-on-exec, closed together. */
export type Pipe = Disposable & { read: Fd; write: Fd };

/** @throws KernelError */
export function openPipe(): Pipe {
  const ends = new Int32Array(2);
  checked("make a pipe", libc().pipe2(new Uint8Array(ends.buffer), closeOnExec));
  const [read, write] = [new Fd(ends[0] ?? -1), new Fd(ends[1] ?? -1)];
  return {
    read,
    write,
    [Symbol.dispose]() {
      read[Symbol.dispose]();
      write[Symbol.dispose]();
    },
  };
}

/** A file in memory with these bytes, open at its beginning, close-on-exec (memfd_create(2)). @throws KernelError */
export function memoryFile(name: string, bytes: Uint8Array): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(new Fd(checked("make a file in memory", libc().memfd_create(name, memfdCloseOnExec))));
  // Written at a place, so that whoever inherits it reads from the beginning.
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd.number, bytes, done, bytes.length - done, done);
  stack.move();
  return fd;
}

/**
 * Has no descriptor above the first three inherited by children, also those this process was itself given at its start
 * (close_range(2), Linux 5.11). Descriptors a child is given by number are not concerned. @throws KernelError
 */
export function closeAllOnExec(): void {
  checked("keep descriptors from children", libc().syscall(sysCloseRange, 3, 0xffff_ffff, setCloseOnExec, 0));
}

/** The same on every architecture (include/uapi/asm-generic/unistd.h, include/uapi/linux/close_range.h). */
const sysCloseRange = 436;
const setCloseOnExec = 4n;
const closeOnExec = 0o2000000;
const memfdCloseOnExec = 1;
