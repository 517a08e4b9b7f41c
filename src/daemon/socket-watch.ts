import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { Log } from "../base/log.ts";

/**
 * Acts when the daemon's socket is no more, as when a session's run-time directory ends with it: nobody could reach the daemon from then on.
 * Looks on when it is there again after that.
 */
export function whenSocketGoes(path: string, act: () => Promise<void> | void, log: Log): Disposable {
  let watcher = watchDirectory();
  let ended = false;

  function watchDirectory() {
    const made = watch(dirname(path), { persistent: false }, look);
    // The directory itself went.
    made.on("error", look);
    return made;
  }

  function look(): void {
    if (existsSync(path)) return;
    watcher.close();
    void (async () => {
      try {
        await act();
        if (!ended && existsSync(path)) watcher = watchDirectory();
      } catch (error) {
        log.error({ socket: path, error: String(error) }, "the socket is gone, and could not be made again");
      }
    })();
  }

  return {
    [Symbol.dispose]() {
      ended = true;
      watcher.close();
    },
  };
}
