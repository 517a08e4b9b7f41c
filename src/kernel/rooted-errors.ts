import { type ErrorCode, KernelError, NexusError } from "../base/errors.ts";
import { fromNodeError } from "../sys/errno.ts";
import { systemRefusal } from "../base/system-error.ts";

/** A refused call on a file of a process, told as what it means to the caller; any other error as it came. */
export function refusalOf(error: unknown, owner: string, path: Buffer): unknown {
  const refused = error instanceof KernelError ? error : fromNodeError("open", error);
  if (!(refused instanceof KernelError)) return error;
  const meaning = meanings.get(refused.errno);
  const shown = path.toString();
  if (meaning === undefined) return systemRefusal(error, `${owner}: ${shown}`) ?? refused;
  const [code, words, hint] = meaning;
  return new NexusError(code, `${owner}: ${shown} ${words}`, { hint, cause: error, details: { errno: refused.errno } });
}

const meanings: ReadonlyMap<string, readonly [code: ErrorCode, words: string, hint?: string]> = new Map([
  ["ENOENT", ["not-found", "is not there"]],
  ["ENOTDIR", ["wrong-state", "has a part that is no directory"]],
  ["EISDIR", ["wrong-state", "is a directory"]],
  ["ENAMETOOLONG", ["usage", "has a name longer than the file system takes"]],
  ["EEXIST", ["name-taken", "exists already"]],
  ["ENOTEMPTY", ["in-use", "is not empty", "remove it with what is in it (recursive)"]],
  ["ELOOP", ["not-permitted", "leads through a link that may not be followed, or through too many"]],
  ["EXDEV", ["unsupported", "cannot be moved there: it is another file system, or a directory of the image", "copy it instead"]],
  ["EBUSY", ["in-use", "is in use"]],
  ["ETXTBSY", ["in-use", "is a program that is running", "replace it instead of writing into it"]],
  ["EWOULDBLOCK", ["in-use", "is held by a lease, or its directory is being moved about", "try again"]],
  ["EAGAIN", ["in-use", "is held by a lease, or its directory is being moved about", "try again"]],
  ["EROFS", ["not-permitted", "is on a read-only file system"]],
  ["EACCES", ["not-permitted", "may not be used so"]],
  ["EPERM", ["not-permitted", "may not be used so: it may be immutable"]],
  ["EINVAL", ["usage", "cannot be moved into itself, or has a name the file system does not take"]],
]);
