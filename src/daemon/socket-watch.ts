import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";

/** Acts once the daemon's socket is no more, as when a session's run-time directory ends with it: nobody could reach the daemon from then on. */
export function whenSocketGoes(path: string, act: () => void): Disposable {
  const look = () => {
    if (existsSync(path)) return;
    watcher.close();
    act();
  };
  const watcher = watch(dirname(path), { persistent: false }, look);
  // The directory itself went.
  watcher.on("error", look);
  return { [Symbol.dispose]: () => watcher.close() };
}
