import assert from "node:assert/strict";
import { test } from "node:test";
import { runCycles } from "./cycles.ts";

const seed = Number(process.env["NEXUS_CHAOS_SEED"] ?? 1);
const cycles = Number(process.env["NEXUS_CHAOS_CYCLES"] ?? 300);

test(
  `${cycles} random requests, breakages and kills (seed ${seed}) leave exactly what was asked for`,
  { timeout: 120_000 + cycles * 1000 },
  async (t) => {
    const { faults, ...figures } = await runCycles({ cycles, seed });
    t.diagnostic(JSON.stringify({ seed, ...figures }));
    assert.equal(faults.length, 0, `NEXUS_CHAOS_SEED=${seed} NEXUS_CHAOS_CYCLES=${cycles} shows it again:\n${faults.join("\n")}`);
  },
);
