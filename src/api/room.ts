import { once } from "node:events";

/** Resolves when a stream that was full takes more, when it is gone, or when `ended` settles; leaves no listener behind. */
export async function roomIn(stream: NodeJS.WritableStream, ended?: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  const { signal } = waiting;
  try {
    await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal }), ...(ended === undefined ? [] : [ended])]);
  } catch {
    // An error of the stream is its owner's to see; for a writer it means that waiting is over.
  } finally {
    waiting.abort();
  }
}
