import { spawnSync } from "node:child_process";
import type { Io } from "./context.ts";

/** Raw mode: keys go to the other side as they are, Ctrl-C included. */
export function useRawTerminal(io: Io, cleanups: DisposableStack): void {
  io.stdin.setRawMode?.(true);
  // Node's raw mode still turns \n into \r\n, which the other side's terminal has done already; leaving raw mode restores this too.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  cleanups.defer(() => io.stdin.setRawMode?.(false));
}
