import { setTimeout as delay } from "node:timers/promises";
import { tryLockFile } from "../sys/lock.ts";

/**
 * Waits for an exclusive lock on a file, made when absent; held until disposed or the process ends.
 * `onWait` is called once when another process has it. @throws the signal's reason; KernelError
 */
export async function waitForFileLock(path: string, options: { signal: AbortSignal; onWait: () => void }): Promise<Disposable> {
  for (let tries = 0; ; tries++) {
    const lock = tryLockFile(path);
    if (lock !== undefined) return lock;
    if (tries === 0) options.onWait();
    // flock(2) has no way to wait without a thread of its own; a fetch takes seconds anyway.
    await delay(100, undefined, { signal: options.signal });
  }
}
