import { libc } from "../sys/libc.ts";

const lockExclusive = 2;
const lockNonBlocking = 4;

/** Takes an exclusive lock on an open file without waiting (flock(2)); false when another holds it. It lasts as long as the descriptor. */
export function tryLock(fd: number): boolean {
  return libc().flock(fd, lockExclusive | lockNonBlocking) === 0;
}
