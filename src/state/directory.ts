import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { KernelError, NexusError } from "../base/errors.ts";

/** Takes an exclusive lock on an open file without waiting (flock(2) LOCK_EX|LOCK_NB); false when another holds it. */
export type TryLock = (fd: number) => boolean;

/** A state directory that is ours alone until disposed. */
export type StateDirectory = Disposable & { readonly path: string; readonly database: string };

/**
 * Makes the directory (0700), locks it against a second daemon and makes the database file (0600).
 * The lock is the kernel's: it ends with the process, however that ends. The file holds our pid for whoever is refused.
 * @throws NexusError daemon-running naming the pid, not-permitted; KernelError for the rest
 */
export function openStateDirectory(path: string, tryLock: TryLock): StateDirectory {
  return attempt(path, () => {
    if (mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(path, 0o700);
    else refuseShared(path);
    using stack = new DisposableStack();
    const fd = lock(join(path, "nexusd.lock"), tryLock);
    stack.defer(() => closeSync(fd));
    const database = join(path, "nexus.db");
    touchPrivate(database);
    const release = stack.move();
    return { path, database, [Symbol.dispose]: () => release.dispose() };
  });
}

/** Others who may write here could swap the database under us. */
function refuseShared(path: string): void {
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o022) === 0) return;
  throw new NexusError("not-permitted", `the state directory ${path} is writable by others (mode ${mode.toString(8)})`, {
    hint: `chmod 700 ${path}`,
  });
}

function lock(file: string, tryLock: TryLock): number {
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    if (!tryLock(fd)) throw running(file);
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function running(file: string): NexusError {
  const pid = /^\d+/.exec(readFileSync(file, "utf8"))?.[0];
  return new NexusError("daemon-running", `another nexusd${pid === undefined ? "" : ` (pid ${pid})`} holds ${file}`, {
    hint: "talk to that daemon, stop it first, or give this one another state directory",
    details: { file, ...(pid === undefined ? {} : { pid: Number(pid) }) },
  });
}

/** SQLite gives the -wal and -shm files the mode of the database. */
function touchPrivate(file: string): void {
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
  } finally {
    closeSync(fd);
  }
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof NexusError || !(error instanceof Error) || !("code" in error)) throw error;
    const errno = String(error.code);
    const denied = errno === "EACCES" || errno === "EPERM" || errno === "EROFS";
    const fault = denied
      ? new NexusError("not-permitted", `the state directory ${path} cannot be written: ${error.message}`, {
          hint: "run nexusd as a user who may write there, or set state_dir",
          details: { path, errno },
        })
      : new KernelError({ op: `open the state directory ${path}`, errno, text: error.message });
    fault.cause = error;
    throw fault;
  }
}
