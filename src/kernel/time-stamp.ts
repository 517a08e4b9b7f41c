import { setTimeout as delay } from "node:timers/promises";
import { openTimeStamp } from "../sys/time-stamp.ts";

/** How fast the processor's time stamp counter runs, in kHz, measured beside the clock; undefined where there is none. */
export async function timeStampKhz(): Promise<number | undefined> {
  using counter = openTimeStamp();
  if (counter === undefined) return undefined;
  const from = closestPair(counter.read);
  await delay(100);
  const to = closestPair(counter.read);
  return Number(((to.stamp - from.stamp) * 1_000_000n) / (to.ns - from.ns));
}

/** Both at one moment: of several readings the one that was interrupted least. */
function closestPair(read: () => bigint): { ns: bigint; stamp: bigint } {
  const pairs = Array.from({ length: 20 }, () => {
    const before = process.hrtime.bigint();
    const stamp = read();
    const took = process.hrtime.bigint() - before;
    return { ns: before + took / 2n, stamp, took };
  });
  return pairs.reduce((best, pair) => (pair.took < best.took ? pair : best));
}
