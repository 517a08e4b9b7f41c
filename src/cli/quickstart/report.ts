import { setTimeout as delay } from "node:timers/promises";
import { Disproof, within } from "./patience.ts";
import type { VerbContext } from "../context.ts";
import type { Progress } from "../progress.ts";
import { NexusError } from "../../base/errors.ts";

export type CheckResult = { name: string; ok: boolean; ms: number; detail: string };

/** Proves one claim and says what was seen. @throws Disproof, or anything else that went wrong */
export type Proof = () => Promise<string>;

/** The table of what was proved, printed line by line as it comes to be. */
export type Report = {
  results: CheckResult[];
  /** True when the claim holds. Never throws. */
  check(name: string, prove: Proof, deadlineMs?: number): Promise<boolean>;
  /** Waits a moment for proofs that were given up, since they may be putting something back. */
  idle(): Promise<void>;
};

/** Wide enough for every name below, so that columns stand while the rest is not known yet. */
const nameWidth = 19;
const usualMs = 10_000;
const lingerMs = 5000;

export function makeReport(c: Pick<VerbContext, "io" | "out">, { progress, signal }: { progress: Progress; signal: AbortSignal }): Report {
  const results: CheckResult[] = [];
  const begun: Promise<string>[] = [];
  const live = c.io.stderr.isTTY === true && !c.out.json;
  return {
    results,
    async check(name, prove, deadlineMs = usualMs) {
      if (live) progress.show(`proving ${name}`);
      const began = performance.now();
      const work = prove();
      begun.push(work);
      const { ok, detail } = await outcome(work, { ms: deadlineMs, signal, what: name });
      const result = { name, ok, ms: Math.round(performance.now() - began), detail };
      results.push(result);
      if (!c.out.json) {
        // The line of progress is drawn anew below this one.
        if (live) c.io.stderr.write("\r\u001b[K");
        c.io.stdout.write(checkLine(result));
      }
      return ok;
    },
    idle: async () => void (await Promise.race([Promise.allSettled(begun), delay(lingerMs, undefined, { ref: false })])),
  };
}

export function checkLine({ name, ok, ms, detail }: CheckResult): string {
  const [first = "", ...more] = detail.split("\n");
  const indent = " ".repeat(nameWidth + 14);
  return (
    [`${ok ? "✓" : "✗"}  ${name.padEnd(nameWidth)} ${String(ms).padStart(6)} ms  ${first}`, ...more.map((line) => `${indent}${line}`)].join(
      "\n",
    ) + "\n"
  );
}

async function outcome(
  work: Promise<string>,
  limit: { ms: number; signal: AbortSignal; what: string },
): Promise<{ ok: boolean; detail: string }> {
  try {
    return { ok: true, detail: await within(work, limit) };
  } catch (error) {
    return { ok: false, detail: explained(error) };
  }
}

function explained(error: unknown): string {
  if (error instanceof Disproof) return error.message;
  if (error instanceof NexusError) return error.hint === undefined ? error.message : `${error.message}\n${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}
