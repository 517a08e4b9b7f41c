import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";
import { program } from "./programs.ts";
import { runTool } from "./tool.ts";

/** Looks at a directory's size again and again, and aborts its signal once it is more than `bytes`: within about a second, or twice the time a look takes. */
export class SizeWatch implements Disposable {
  readonly #full = new AbortController();
  readonly #ended = new AbortController();
  readonly full: AbortSignal = this.#full.signal;

  constructor(directory: string, bytes: number) {
    // Ends by its signal, which is no failure.
    this.#look(directory, bytes).catch(() => undefined);
  }

  async #look(directory: string, bytes: number): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const since = performance.now();
      const used = await bytesBelow(directory, signal).catch(() => 0);
      if (used > bytes) {
        const limit = `the facility has ${used} bytes, and its limit is ${bytes}`;
        return this.#full.abort(new NexusError("too-large", limit, { hint: "remove something, or make one that is larger" }));
      }
      await delay(Math.max(1000, 2 * (performance.now() - since)), undefined, { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}

/** What the files below a directory take on the disk. Links are not followed. @throws NexusError */
export async function bytesBelow(directory: string, signal: AbortSignal): Promise<number> {
  // Directories that were closed to us make du(1) complain and go on.
  const { output } = await runTool(program("du"), ["-sx", "--block-size=1", "--", directory], {
    what: `measure ${directory}`,
    deadlineMs: 60_000,
    failures: "answer",
    signal,
  });
  return Number(/^\d+/.exec(output.toString())?.[0] ?? 0);
}
