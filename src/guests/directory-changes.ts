import { watch } from "node:fs";

/** Wakes when something in a directory changes; a change between two waits is not lost. */
export type DirectoryChanges = Disposable & { next(maxMs: number): Promise<void> };

/** @throws an fs error when the directory is not there */
export function watchDirectory(directory: string): DirectoryChanges {
  let pending = false;
  let wake: (() => void) | undefined;
  const note = (): void => {
    pending = true;
    wake?.();
  };
  const watcher = watch(directory, note);
  watcher.on("error", note);
  return {
    async next(maxMs) {
      if (!pending) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, maxMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        wake = undefined;
      }
      pending = false;
    },
    [Symbol.dispose]: () => watcher.close(),
  };
}
