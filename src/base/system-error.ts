import { KernelError } from "./errors.ts";

/**
 * An error of Node's own calls (files, sockets, child processes) as the kernel's refusal it is, with what to do about it;
 * undefined for anything else. `op` says what was being done; by default it is the system call and its path.
 */
export function systemRefusal(error: unknown, op?: string): KernelError | undefined {
  if (!isSystemError(error)) return undefined;
  const { code, syscall, path, message } = error;
  const text = /^[A-Z0-9]+: (.*?)(?:, [a-z_]+(?: '.*)?)?$/s.exec(message)?.[1] ?? message;
  const what = op ?? (path === undefined ? syscall : `${syscall} ${path}`);
  const refusal = new KernelError({ op: what, errno: code, text, hint: hints.get(code) });
  refusal.cause = error;
  return refusal;
}

/** Whether the host lacks room or a right, whatever it was that was written: then no input is to blame. */
export function isHostShort(error: unknown): boolean {
  return isSystemError(error) && hints.has(error.code);
}

type SystemError = Error & { code: string; syscall: string; path?: string };

function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return false;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) && typeof error.syscall === "string";
}

/** errno(3), told as what the reader can change. */
const hints: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "the disk is full: free space or inodes on it (`df -h`, `df -i`), then try again"],
  ["EDQUOT", "the disk quota is used up: free space or raise it, then try again"],
  ["EMFILE", "the daemon has too many files open: raise its limit (LimitNOFILE= of its unit), then restart it"],
  ["ENFILE", "the host has too many files open: raise fs.file-max, or end what holds them"],
  ["ENOMEM", "the host is out of memory: end something, then try again"],
  ["EROFS", "the file system is read-only: see `dmesg` for why, and remount it"],
  ["EIO", "the disk failed: see `dmesg`"],
  ["EACCES", "the daemon may not do this: it must run as root, and no security module may forbid it"],
  ["EPERM", "the daemon may not do this: it must run as root, and no security module may forbid it"],
]);
