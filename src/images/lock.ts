import { setTimeout as delay } from "node:timers/promises";
import { tryLockFile } from "../kernel/file-lock.ts";

/** Waits for the lock that lets one process at a time fetch images. @throws the signal's reason */
export async function takeImageLock(path: string, options: { signal: AbortSignal; onWait: () => void }): Promise<Disposable> {
  for (let tries = 0; ; tries++) {
    const lock = tryLockFile(path);
    if (lock !== undefined) return lock;
    if (tries === 0) options.onWait();
    await delay(100, undefined, { signal: options.signal });
  }
}
