import { type FSWatcher, watch } from "node:fs";

/** Wakes when something in a directory changes; a change between two waits is not lost. */
export type DirectoryChanges = Disposable & { next(maxMs: number, signal?: AbortSignal): Promise<void> };

/**
 * Where the kernel has no watch left to give (inotify(7), max_user_watches: any user can use them up), waits end by the
 * clock, so that who looks again after each of them sees the change a little later.
 * @throws an fs error when the directory is not there
 */
export function watchDirectory(directory: string): DirectoryChanges {
  let pending = false;
  let wake: (() => void) | undefined;
  const note = (): void => {
    pending = true;
    wake?.();
  };
  const watcher = watcherOf(directory, note);
  let blindMs = firstBlindMs;
  return {
    async next(maxMs, signal) {
      const limit = watcher === undefined ? Math.min(maxMs, blindMs) : maxMs;
      blindMs = Math.min(blindMs * 2, lastBlindMs);
      if (!pending && signal?.aborted !== true) {
        await new Promise<void>((resolve) => {
          const finish = (): void => {
            clearTimeout(timer);
            signal?.removeEventListener("abort", finish);
            wake = undefined;
            resolve();
          };
          const timer = setTimeout(finish, limit);
          wake = finish;
          signal?.addEventListener("abort", finish, { once: true });
        });
      }
      pending = false;
    },
    [Symbol.dispose]: () => watcher?.close(),
  };
}

const firstBlindMs = 25;
const lastBlindMs = 250;

function watcherOf(directory: string, note: () => void): FSWatcher | undefined {
  try {
    return watch(directory, note).on("error", note);
  } catch (error) {
    if (["ENOSPC", "EMFILE", "ENFILE", "ENOMEM"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
