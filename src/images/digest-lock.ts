import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { waitForFileLock } from "../kernel/file-lock.ts";

/** `sha256:…` as the name of a file. */
export function digestName(digest: string): string {
  return digest.replace(":", "-");
}

/**
 * Waits until nobody else, in this process or another, makes or removes what belongs to one image. The empty lock files stay:
 * removing one that somebody waits for would give the lock to two. @throws the signal's reason; KernelError
 */
export function lockDigest(directory: string, name: string, wait: { signal: AbortSignal; onWait: () => void }): Promise<Disposable> {
  mkdirSync(join(directory, "locks"), { recursive: true, mode: 0o700 });
  return waitForFileLock(join(directory, "locks", name), wait);
}

/** As lockDigest, but undefined when somebody has it. @throws KernelError */
export async function tryLockDigest(directory: string, name: string): Promise<Disposable | undefined> {
  let held = false;
  try {
    return await lockDigest(directory, name, { signal: AbortSignal.abort(), onWait: () => (held = true) });
  } catch (error) {
    if (held) return undefined;
    throw error;
  }
}
