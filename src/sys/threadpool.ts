import { stat } from "node:fs/promises";

/**
 * Has libuv's pool threads born now, in the process's own network namespace: one born inside an inNetns window would stay there.
 * libuv makes all of them on first use. Call it once at start.
 */
export async function warmThreadpool(): Promise<void> {
  await stat("/");
}
