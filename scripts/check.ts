import { join } from "node:path";
import { filesOf } from "./test-tiers.ts";
import { runStep, type StepResult } from "./run-step.ts";

/** `npm run check`: everything that needs no root and no network, in under a minute. */
const root = join(import.meta.dirname, "..");
process.chdir(root);
const bin = (name: string) => join(root, "node_modules/.bin", name);
const unitTests = filesOf("unit");

const steps: [string, [string, ...string[]]][] = [
  ["format", [bin("oxfmt"), "--check"]],
  ["lint", [bin("oxlint"), "--type-aware"]],
  ["types", [bin("tsc"), "-p", "."]],
  ["tests", [process.execPath, "--test", "--test-reporter=dot", ...unitTests]],
];

// The tests use every processor by themselves; the short tools run beside each other first.
const results: StepResult[] = await Promise.all(steps.slice(0, 3).map(([name, command]) => report(name, command)));
for (const [name, command] of steps.slice(3)) results.push(await report(name, command));

const failed = results.filter((step) => !step.ok).map((step) => step.name);
console.log(failed.length === 0 ? "check: everything is fine" : `check: ${failed.join(", ")} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;

async function report(name: string, command: [string, ...string[]]): Promise<StepResult> {
  const result = await runStep(name, command, { deadlineMs: 120_000 });
  console.log(`${result.ok ? "ok    " : "FAILED"} ${name.padEnd(7)} ${result.seconds.toFixed(1)} s`);
  if (!result.ok) console.log(result.output.trimEnd());
  return result;
}
