import { KernelError, NexusError } from "../base/errors.ts";

/**
 * What the kernel refused this command's own work on files, in one line with what to do; undefined when it is no such refusal,
 * or one that only a defect of ours brings about.
 */
export function systemError(error: unknown, { uid }: { uid: number }): NexusError | undefined {
  if (!isSystemError(error)) return undefined;
  const op = [error.syscall, error.path].filter((part) => part !== undefined).join(" ");
  const text = /^[A-Z0-9]+: ([^,]+)/.exec(error.message)?.[1] ?? error.message;
  if (rights.has(error.code)) {
    const hint = uid === 0 ? "root is not enough here: see the mount and the attributes of the path" : "run it as root, with sudo";
    return new NexusError("not-permitted", `${op}: ${error.code} (${text})`, { hint, cause: error });
  }
  const hint = hints[error.code];
  return hint === undefined ? undefined : new KernelError({ op, errno: error.code, text, hint });
}

const rights: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);

const hints: Readonly<Record<string, string>> = {
  ENOSPC: "make room on that file system",
  EDQUOT: "make room, or have the quota raised",
  ENOENT: "it is not there, or went away meanwhile",
  ENOTDIR: "a part of the path is no directory",
  EISDIR: "name a file",
  EMFILE: "raise the number of files a process may open (ulimit -n)",
  ENFILE: "raise fs.file-max, or end what holds so many files",
  EIO: "see the kernel's log (dmesg): the disk may fail",
};

type SystemError = Error & { code: string; syscall: string; path?: string };

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";
}
