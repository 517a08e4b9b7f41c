import { kernelRefusal } from "./errno.ts";
import { Fd, fdNumber } from "./fd.ts";
import { addressOf, lastErrno, libc } from "./libc.ts";

/** How the kernel may walk a path (openat2(2), include/uapi/linux/openat2.h). */
export const resolve = {
  /** No mount may be crossed, at the end of the path neither. */
  noMounts: 0x01,
  /** Links the kernel makes, as /proc/PID/root, are not passed: they lead anywhere. */
  noMagicLinks: 0x02,
  noLinks: 0x04,
  /** The directory is the root: of `/`, of links that begin with it, and of `..`. */
  inRoot: 0x10,
} as const;

/** Names a file without opening it: nothing happens to it, not even when it is a device or a pipe (open(2), O_PATH). */
export const pathOnly = 0o10000000;
const closeOnExec = 0o2000000;
const sysOpenat2 = 437;
const eagain = 11;

/**
 * Opens a path from a directory, as `walk` (sums of `resolve`) allows. A mode is only for flags that create.
 * @throws KernelError: EXDEV or ELOOP for a path that would lead where it may not
 */
export function openat2(directory: Fd | number, path: Uint8Array, how: { flags: number; walk: number; mode?: number }): Fd {
  const words = new BigUint64Array([BigInt(how.flags | closeOnExec), BigInt(how.mode ?? 0), BigInt(how.walk)]);
  const name = nulEnded(path);
  for (let tries = 0; ; tries++) {
    const fd = Number(libc().syscall(sysOpenat2, fdNumber(directory), addressOf(name), new Uint8Array(words.buffer), words.byteLength));
    if (fd >= 0) return new Fd(fd);
    const errno = lastErrno();
    // While directories are moved about, the kernel cannot tell where `..` leads, and says so rather than guess.
    if (errno === eagain && tries < triesWhileMoved) continue;
    throw kernelRefusal("open", errno);
  }
}

/** As C has its texts. The bytes may be no valid UTF-8. */
export function nulEnded(path: Uint8Array): Buffer {
  return Buffer.concat([path, Uint8Array.of(0)]);
}

const triesWhileMoved = 200;
