import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { describeMachine } from "./measure.ts";
import { isInside, runInside } from "./inside.ts";
import { buildMiniVm } from "../src/images/vm-mini.ts";
import { preparePeers } from "./proxy/peers.ts";
import { runOrThrow } from "./program.ts";
import { printMachine, progress } from "./table.ts";
import { testMini } from "../scripts/test-mini.ts";

/** What a benchmark module exports as `run`: prints its table and gives the figures that `--json` puts on the last line. */
export type Benchmark = (options: BenchmarkOptions) => Promise<Record<string, unknown>>;
export type BenchmarkOptions = {
  json: boolean;
  /** Fewer rounds: to see that it works, not to quote. */
  quick: boolean;
};

const names = [
  "attach",
  "compose",
  "dns",
  "dhcp",
  "idle",
  "node",
  "proxy",
  "ruleset",
  "sandbox",
  "sandbox-cancel",
  "sandbox-output",
  "sandbox-run",
  "tap",
  "vm-boot",
  "vm-net",
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } },
});

process.exitCode = await main(positionals);

async function main([name, ...rest]: string[]): Promise<number> {
  if (name === undefined || rest.length > 0 || !names.includes(name)) return usage();
  // Its packages come from outside, where there is a network.
  if (!isInside() && (name === "proxy" || name === "sandbox-run")) await preparePeers(progress);
  if (!isInside() && name.startsWith("vm-")) await buildMiniVm({ directory: testMini, progress });
  if (!isInside() && name === "vm-net" && spawnSync("iperf3", ["--version"]).error !== undefined)
    runOrThrow("apt-get", ["install", "-q", "-y", "--no-install-recommends", "iperf3"], "", { DEBIAN_FRONTEND: "noninteractive" });
  if (!isInside()) return await runInside(import.meta.filename, process.argv.slice(2), 15 * 60_000);

  const { run } = (await import(`./${name}.ts`)) as { run: Benchmark };
  const machine = describeMachine();
  const figures = await run({ json: values.json, quick: values.quick });
  printMachine(machine);
  if (values.json) console.log(JSON.stringify({ ...figures, machine }));
  return 0;
}

function usage(): number {
  console.error(`usage: npm run bench -- ${names.join("|")} [--json] [--quick]`);
  return 2;
}
