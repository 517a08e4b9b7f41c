import koffi, { type KoffiFunc } from "koffi";
import { NexusError } from "../base/errors.ts";
import { kernelRefusal } from "./errno.ts";

/** Memory handed to the kernel: bytes in JavaScript, an address, or null. */
export type Memory = Uint8Array | bigint | string | null;

/** The calls of the C library we use. A `long` may arrive as number or bigint: wrap it in Number(). */
type Calls = {
  getpid(): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Memory, length: number): number;
  connect(fd: number, address: Memory, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: Memory, length: Memory, flags: number): number;
  getsockname(fd: number, address: Memory, length: Memory): number;
  getsockopt(fd: number, level: number, name: number, value: Memory, length: Memory): number;
  setsockopt(fd: number, level: number, name: number, value: Memory, length: number): number;
  sendto(fd: number, bytes: Memory, length: number, flags: number, address: Memory, addressLength: number): number | bigint;
  recvfrom(fd: number, bytes: Memory, length: number, flags: number, address: Memory, addressLength: Memory): number | bigint;
  recvmsg(fd: number, header: Memory, flags: number): number | bigint;
  sendmsg(fd: number, header: Memory, flags: number): number | bigint;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, argument: Memory): number;
  flock(fd: number, operation: number): number;
  poll(entries: Memory, count: number, timeoutMs: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Memory): number;
  setns(fd: number, kind: number): number;
  unshare(flags: number): number;
  mount(source: Memory, target: Memory, type: Memory, flags: number, data: Memory): number;
  umount2(target: Memory, flags: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  prctl(option: number, a: number, b: number, c: number, d: number): number;
  syscall(number: number, a: number | bigint, b: number | bigint, c: Memory, d: number): number | bigint;
  /** The same function for calls on a path from a directory: number, directory, path, and three more. */
  syscallAt(number: number, directory: number, path: Memory, a: number, b: Memory, c: number): number | bigint;
  pipe2(ends: Memory, flags: number): number;
  memfd_create(name: Memory, flags: number): number;
  mmap(address: Memory, length: number, protection: number, flags: number, fd: number, offset: number): bigint;
  munmap(address: Memory, length: number): number;
  fchdir(fd: number): number;
  mkdirat(directory: number, name: Memory, mode: number): number;
  unlinkat(directory: number, name: Memory, flags: number): number;
  readlinkat(directory: number, name: Memory, text: Memory, size: number): number | bigint;
  renameat2(from: number, oldName: Memory, to: number, newName: Memory, flags: number): number;
  malloc_trim(keptBytes: number): number;
};

export type Libc = { readonly [Name in keyof Calls]: KoffiFunc<Calls[Name]> };

const prototypes: Readonly<Record<keyof Calls, string>> = {
  getpid: "int getpid()",
  socket: "int socket(int, int, int)",
  bind: "int bind(int, void *, uint)",
  connect: "int connect(int, void *, uint)",
  listen: "int listen(int, int)",
  accept4: "int accept4(int, void *, void *, int)",
  getsockname: "int getsockname(int, void *, void *)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  setsockopt: "int setsockopt(int, int, int, void *, uint)",
  sendto: "long sendto(int, void *, size_t, int, void *, uint)",
  recvfrom: "long recvfrom(int, void *, size_t, int, void *, void *)",
  recvmsg: "long recvmsg(int, void *, int)",
  sendmsg: "long sendmsg(int, void *, int)",
  fcntl: "int fcntl(int, int, long)",
  ioctl: "int ioctl(int, ulong, void *)",
  flock: "int flock(int, int)",
  poll: "int poll(void *, ulong, int)",
  epoll_create1: "int epoll_create1(int)",
  epoll_ctl: "int epoll_ctl(int, int, int, void *)",
  setns: "int setns(int, int)",
  unshare: "int unshare(int)",
  mount: "int mount(const char *, const char *, const char *, ulong, const char *)",
  umount2: "int umount2(const char *, int)",
  fallocate: "int fallocate(int, int, long, long)",
  prctl: "int prctl(int, ulong, ulong, ulong, ulong)",
  syscall: "long syscall(long, long, long, void *, long)",
  syscallAt: "long syscall(long, long, const char *, long, void *, long)",
  pipe2: "int pipe2(void *, int)",
  memfd_create: "int memfd_create(const char *, uint)",
  mmap: "void *mmap(void *, size_t, int, int, int, long)",
  munmap: "int munmap(void *, size_t)",
  fchdir: "int fchdir(int)",
  mkdirat: "int mkdirat(int, void *, uint)",
  unlinkat: "int unlinkat(int, void *, int)",
  readlinkat: "long readlinkat(int, void *, void *, size_t)",
  renameat2: "int renameat2(int, void *, int, void *, uint)",
  malloc_trim: "int malloc_trim(size_t)",
};

/** The C library, loaded on first use and checked once. @throws NexusError `unsupported` when it cannot be called */
export const libc: () => Libc = once(load);

/** errno of the last call on this thread; read it before anything else runs. */
export function lastErrno(): number {
  return koffi.errno();
}

/** The result of a call, as a number. @throws KernelError when it is negative */
export function checked(op: string, result: number | bigint): number {
  const value = Number(result);
  if (value < 0) throw kernelRefusal(op, koffi.errno());
  return value;
}

/** As checked, for a call that `begin` begins on a thread of the pool. */
export function checkedAsync(op: string, begin: (done: (fault: unknown, result: number | bigint) => void) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    begin((fault, result) => {
      try {
        if (fault !== null) throw fault;
        resolve(checked(op, result));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** Where bytes lie in memory, for structures with pointers. The caller keeps the bytes referenced while the kernel uses them. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

function load(): Libc {
  const library = koffi.load("libc.so.6");
  const calls = Object.fromEntries(Object.entries(prototypes).map(([name, text]) => [name, library.func(text)])) as Libc;
  const pid = calls.getpid();
  if (pid !== process.pid)
    throw new NexusError("unsupported", `calls into the C library do not work here: getpid() gave ${pid} in process ${process.pid}`);
  return calls;
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
