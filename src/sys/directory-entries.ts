import { checked, libc } from "./libc.ts";
import { type Fd, fdNumber } from "./fd.ts";
import { nulEnded } from "./openat2.ts";

/** Changes to names in an open directory. A name is one component; a link of that name is changed itself, never followed. */

/** mkdirat(2). @throws KernelError */
export function makeDirectoryAt(directory: Fd | number, name: Uint8Array, mode: number): void {
  checked("make a directory", libc().mkdirat(fdNumber(directory), nulEnded(name), mode));
}

/** unlinkat(2) for what is no directory. @throws KernelError */
export function unlinkAt(directory: Fd | number, name: Uint8Array): void {
  checked("remove", libc().unlinkat(fdNumber(directory), nulEnded(name), 0));
}

/** unlinkat(2) for an empty directory. @throws KernelError */
export function removeDirectoryAt(directory: Fd | number, name: Uint8Array): void {
  checked("remove", libc().unlinkat(fdNumber(directory), nulEnded(name), atRemoveDirectory));
}

/** renameat2(2). Unless `replace`, what has the new name already stays and the answer is EEXIST. @throws KernelError */
export function renameAt(
  from: { directory: Fd | number; name: Uint8Array },
  to: { directory: Fd | number; name: Uint8Array },
  replace: boolean,
): void {
  const flags = replace ? 0 : renameNoReplace;
  const call = libc().renameat2(fdNumber(from.directory), nulEnded(from.name), fdNumber(to.directory), nulEnded(to.name), flags);
  checked("rename", call);
}

/** The text of an open link (readlinkat(2) with an empty name). @throws KernelError */
export function linkText(link: Fd | number): Buffer {
  const text = Buffer.alloc(pathMax);
  const length = checked("read a link", libc().readlinkat(fdNumber(link), nulEnded(Buffer.alloc(0)), text, text.length));
  return text.subarray(0, length);
}

const atRemoveDirectory = 0x200;
const renameNoReplace = 1;
const pathMax = 4096;
