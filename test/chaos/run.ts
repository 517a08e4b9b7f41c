import { parseArgs } from "node:util";
import { isInside, runInside } from "../../bench/inside.ts";
import { runCycles } from "./cycles.ts";

/** `node test/chaos/run.ts --cycles 10000 [--seed N]`, as root: the random cycles for longer than a test should take. */
const { values } = parseArgs({ options: { cycles: { type: "string", default: "10000" }, seed: { type: "string" } } });
const cycles = Number(values.cycles);
const seed = Number(values.seed ?? process.env["NEXUS_CHAOS_SEED"] ?? Date.now() % 1_000_000);

if (!isInside()) {
  process.exitCode = await runInside(
    import.meta.filename,
    ["--cycles", String(cycles), "--seed", String(seed)],
    Math.max(cycles * 2000, 600_000),
  );
} else {
  console.log(`seed ${seed}`);
  const { faults, ...figures } = await runCycles({ cycles, seed, progress: (line) => console.log(line) });
  for (const fault of faults) console.log(fault);
  console.log(JSON.stringify({ seed, ...figures, faults: faults.length }));
  process.exitCode = faults.length === 0 ? 0 : 1;
}
