import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepareMini, testCache } from "./test-mini.ts";
import { prepareDebian } from "./test-debian.ts";
import { installTools } from "./test-tools.ts";
import { filesOf, type Tier, tierNames } from "./test-tiers.ts";
import { runStep } from "./run-step.ts";
import { readTap, type TapResult } from "./tap.ts";

/**
 * `npm test`: sets up what the tests need, runs every tier, and ends with one line `N passed, N failed, N skipped`.
 * `npm test -- --tier kernel links` runs one tier's files whose path has "links".
 */
const root = join(import.meta.dirname, "..");
process.chdir(root);
const { values, positionals } = parseArgs({ options: { tier: { type: "string", multiple: true } }, allowPositionals: true });
const tiers = tierNames.filter((tier) => values.tier?.includes(tier) ?? tier !== "systemd");
if (tiers.length === 0) throw new TypeError(`no tier of that name; there are ${tierNames.join(", ")}`);

type Allowed = { file: string; test: string; feature: string };
const allowedSkips = JSON.parse(readFileSync("test/allowed-skips.json", "utf8")) as Allowed[];
/** A network and a mount namespace are new already; what the host keeps in /run must not be shared either. */
const freshNamespaces = 'mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && exec "$@"';
const total = { passed: 0, failed: 0, skipped: 0 };
/** Their programs run against deadlines, on a machine that may be busy with something else. */
const timed: ReadonlySet<Tier> = new Set(["kernel", "guests", "e2e", "vm", "debian"]);
/** More than these failing is no accident. */
const mostAgain = 3;
const failedFiles: { tier: Tier; file: string; result: typeof total }[] = [];
const bootsMachines: ReadonlySet<Tier> = new Set(["e2e", "chaos", "vm", "debian", "systemd"]);
const privileged = tiers.some((tier) => tier !== "check" && tier !== "unit");

if (privileged) await installTools((line) => console.log(line));
if (tiers.some((tier) => bootsMachines.has(tier))) await prepareMini((line) => console.log(line));
// A whole distribution takes minutes to build and to boot: it is built from the start on, and boots while e2e leaves a processor free.
const debian = tiers.includes("debian") && chosen("debian").length > 0 ? prepareDebian(console.log).catch(console.log) : undefined;
let booting: Promise<void> | undefined;
for (const tier of tiers) {
  if (tier === "debian") continue;
  if (tier === "e2e") booting = debian?.then(() => runTier("debian"));
  if (tier === "vm") await booting;
  await runTier(tier);
}
await (booting ?? debian?.then(() => runTier("debian")));
await runAgain();
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

async function runTier(tier: Tier): Promise<void> {
  console.log(`\n== ${tier}`);
  if (tier === "check") return await runChecks();
  if (tier !== "unit" && process.getuid?.() !== 0) {
    console.log(`FAILED ${tier}: needs root, for namespaces of its own`);
    total.failed++;
    return;
  }
  const files = chosen(tier);
  const sum = { passed: 0, failed: 0, skipped: 0 };
  // Unit tests share nothing and may run beside each other; the others share the kernel's cgroups and the clock.
  const lanes = tier === "unit" ? availableParallelism() : 1;
  const queue = [...files];
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        const result = await runFile(tier, file);
        const { passed, failed, skipped } = result;
        if (failed > 0) failedFiles.push({ tier, file, result });
        sum.passed += passed;
        sum.failed += failed;
        sum.skipped += skipped;
      }
    }),
  );
  total.passed += sum.passed;
  total.failed += sum.failed;
  total.skipped += sum.skipped;
  console.log(`   ${tier}: ${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped in ${files.length} files`);
}

/** What failed against the clock is run once more, alone, and counts as it ends then. Both ends are told. */
async function runAgain(): Promise<void> {
  if (failedFiles.length === 0 || failedFiles.length > mostAgain || !failedFiles.every(({ tier }) => timed.has(tier))) return;
  console.log("\n== again, alone");
  const unsteady: string[] = [];
  for (const { tier, file, result: first } of failedFiles) {
    const second = await runFile(tier, file);
    for (const key of ["passed", "failed", "skipped"] as const) total[key] += second[key] - first[key];
    if (second.failed === 0) unsteady.push(file);
  }
  if (unsteady.length > 0) console.log(`   failed at first, and passed alone: ${unsteady.join(", ")}`);
}

function chosen(tier: Exclude<Tier, "check">): string[] {
  return filesOf(tier).filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)));
}

async function runChecks(): Promise<void> {
  const bin = (name: string) => join(root, "node_modules/.bin", name);
  const commands: [string, [string, ...string[]]][] = [
    ["format", [bin("oxfmt"), "--check"]],
    ["lint", [bin("oxlint"), "--type-aware"]],
    ["types", [bin("tsc"), "-p", "."]],
  ];
  for (const [name, command] of commands) {
    const result = await runStep(name, command, { deadlineMs: 180_000 });
    if (result.ok) total.passed++;
    else {
      total.failed++;
      console.log(`FAILED ${name}\n${result.output.trimEnd()}`);
    }
  }
}

async function runFile(tier: Tier, file: string): Promise<typeof total> {
  const test: [string, ...string[]] = [process.execPath, "--test", "--test-reporter=tap", file];
  const command: [string, ...string[]] =
    tier === "unit" || tier === "systemd"
      ? test
      : ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", freshNamespaces, "sh", ...test];
  const { output, ok, seconds } = await runStep(file, command, {
    deadlineMs: tier === "systemd" ? 1_800_000 : 600_000,
    env: { ...process.env, NEXUS_CACHE_DIR: testCache },
  });
  const tap = readTap(output);
  const skips = tap.skipped.map((skip) => ({ ...skip, allowed: allowedSkips.find((a) => a.file === file && a.test === skip.test) }));
  const unlisted = skips.filter((skip) => skip.allowed === undefined);
  const broken = tap.failed + unlisted.length + (!ok && tap.failed === 0 ? 1 : 0) + (tap.complete ? 0 : 1);
  console.log(`${broken === 0 ? "ok    " : "FAILED"} ${file}  ${tap.passed} passed  ${seconds.toFixed(1)} s`);
  for (const { test: name, allowed, reason } of skips)
    console.log(`       skipped: ${name}: ${allowed?.feature ?? `not on test/allowed-skips.json (${reason})`}`);
  if (tap.failed > 0 || !ok || !tap.complete) console.log(wordsOf(tap, output));
  return { passed: tap.passed, failed: broken, skipped: skips.length - unlisted.length };
}

function wordsOf(tap: TapResult, output: string): string {
  return (tap.failures.length > 0 ? tap.failures.join("\n") : output)
    .trimEnd()
    .split("\n")
    .map((line) => `       ${line}`)
    .join("\n");
}
