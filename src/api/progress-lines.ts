import type { Context } from "./contract.ts";

/** One line of an answer with progress: any number of `progress`, then `result`. An error line takes its place when it fails. */
export type ProgressLine = { progress: string } | { result: unknown };

/** Runs a handler and gives its progress sentences as they come, its answer last. A slow reader misses the oldest it has not read. */
export async function* withProgress(
  handler: (input: unknown, context: Context) => Promise<unknown>,
  input: unknown,
  context: Context,
): AsyncGenerator<ProgressLine> {
  const lines: string[] = [];
  let wake = Promise.withResolvers<void>();
  const progress = (line: string) => {
    if (lines.push(line) > maxWaiting) lines.shift();
    wake.resolve();
  };
  let done = false;
  const result = handler(input, { ...context, progress }).finally(() => {
    done = true;
    wake.resolve();
  });
  result.catch(() => {});
  for (;;) {
    if (lines.length === 0 && !done) await wake.promise;
    wake = Promise.withResolvers();
    for (const line of lines.splice(0)) yield { progress: line };
    if (done && lines.length === 0) break;
  }
  yield { result: await result };
}

/** How many sentences wait for one slow reader. */
const maxWaiting = 100;
