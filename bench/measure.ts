import { readFileSync } from "node:fs";
import { availableParallelism, release, totalmem } from "node:os";

/** Milliseconds unless the name says otherwise. */
export type Summary = { count: number; min: number; p50: number; p99: number; max: number };

export type Machine = { kernel: string; cpus: number; cpuModel: string; memoryMib: number; node: string; at: string };

export function summarize(samples: readonly number[]): Summary {
  return {
    count: samples.length,
    min: percentile(samples, 0),
    p50: percentile(samples, 0.5),
    p99: percentile(samples, 0.99),
    max: percentile(samples, 1),
  };
}

/** Nearest-rank percentile, `q` within 0-1. @throws RangeError without samples */
export function percentile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("no samples to take a percentile of");
  return value;
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const high = sorted[Math.floor(sorted.length / 2)];
  const low = sorted[Math.ceil(sorted.length / 2) - 1];
  if (high === undefined || low === undefined) throw new RangeError("no samples to take a median of");
  return (low + high) / 2;
}

/**
 * Runs every contestant once per round and rotates who goes first, so drift of the machine falls on all alike.
 * A contestant returns one sample or several; the first `warmup` rounds are thrown away.
 */
export async function interleave<Name extends string>(
  contestants: Record<Name, () => Promise<number | readonly number[]>>,
  rounds: { warmup: number; measured: number },
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contestants) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  for (let round = 0; round < rounds.warmup + rounds.measured; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] as Name;
      const taken = await contestants[name]();
      if (round >= rounds.warmup) samples[name].push(...(typeof taken === "number" ? [taken] : taken));
    }
  }
  return samples;
}

/** Milliseconds the work took. */
export async function timed(work: () => unknown): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/** Runs `work` for every item, at most `width` at a time; the first failure rejects. */
export async function inParallel<Item>(items: readonly Item[], width: number, work: (item: Item) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as Item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}

/** Asks `done` until it says yes. @throws Error naming `what` when the deadline passes */
export async function until(what: string, deadlineMs: number, done: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`${what} did not happen within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function describeMachine(): Machine {
  return {
    kernel: release(),
    cpus: availableParallelism(),
    cpuModel: /model name\s*: (.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown",
    memoryMib: Math.round(totalmem() / 1048576),
    node: process.version,
    at: new Date().toISOString(),
  };
}

/** Rounded to three significant places, as figures are printed and stored. */
export function rounded(value: number): number {
  return Number(value.toPrecision(value >= 1000 ? 4 : 3));
}
