import { NexusError } from "../base/errors.ts";
import { kernelRefusal } from "./errno.ts";
import { Fd } from "./fd.ts";
import { lastErrno, libc } from "./libc.ts";
import { isReadable, Watch } from "./poll.ts";

// The same numbers on every architecture (include/uapi/asm-generic/unistd.h).
const sysPidfdSendSignal = 424;
const sysPidfdOpen = 434;
const sysPidfdGetfd = 438;
const esrch = 3;
/**
 * What pidfd_open answers when there is no such process. A number stays known while it names a group or session whose leader is
 * gone: then EINVAL, since Linux 6.15 ESRCH; and ENOENT for a thread's.
 */
const absent: ReadonlySet<number> = new Set([esrch, 22, 2]);

/** One process, whoever its parent is: unlike a pid it never comes to mean another (pidfd_open(2), Linux 5.3). */
export class Pidfd implements Disposable {
  readonly pid: number;
  readonly #fd: Fd;
  #watch: Watch | undefined;
  #exited: PromiseWithResolvers<void> | undefined;

  /** The process that has this pid now, or undefined when none has. A zombie counts. @throws KernelError */
  static open(pid: number): Pidfd | undefined {
    const fd = Number(libc().syscall(sysPidfdOpen, pid, 0, null, 0));
    if (fd >= 0) return new Pidfd(pid, new Fd(fd));
    const errno = lastErrno();
    if (absent.has(errno)) return undefined;
    throw kernelRefusal(`open process ${pid}`, errno);
  }

  private constructor(pid: number, fd: Fd) {
    this.pid = pid;
    this.#fd = fd;
  }

  /** True when the signal was delivered, false when the process has ended. @throws KernelError */
  signal(number: number): boolean {
    if (Number(libc().syscall(sysPidfdSendSignal, this.#fd.number, number, null, 0)) === 0) return true;
    const errno = lastErrno();
    if (errno === esrch) return false;
    throw kernelRefusal(`send signal ${number} to process ${this.pid}`, errno);
  }

  /** The same open file as one of the process' descriptors, by its number there; wants the right to trace it (pidfd_getfd(2), Linux 5.6). @throws KernelError */
  descriptor(number: number): Fd {
    const fd = Number(libc().syscall(sysPidfdGetfd, this.#fd.number, number, null, 0));
    if (fd >= 0) return new Fd(fd);
    throw kernelRefusal(`take descriptor ${number} of process ${this.pid}`, lastErrno());
  }

  /** Whether the process has ended, reaped or not. */
  hasExited(): boolean {
    return isReadable(this.#fd);
  }

  /**
   * Resolves when the process has ended.
   * @throws the signal's reason when it fires first; NexusError when this is disposed while waiting
   */
  exited(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const ended = this.#wait().promise;
    if (signal === undefined) return ended;
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", abort, { once: true });
      ended.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }

  [Symbol.dispose](): void {
    if (this.#watch !== undefined) {
      this.#stopWatching();
      this.#exited?.reject(new NexusError("internal", `process ${this.pid} is no longer watched`));
    }
    this.#fd[Symbol.dispose]();
  }

  #wait(): PromiseWithResolvers<void> {
    if (this.#exited !== undefined) return this.#exited;
    const exited = Promise.withResolvers<void>();
    this.#watch = new Watch(this.#fd, () => {
      this.#stopWatching();
      exited.resolve();
    });
    this.#exited = exited;
    // Disposing while nobody listens any more must not look like an unhandled rejection.
    exited.promise.catch(() => {});
    return exited;
  }

  #stopWatching(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }
}
