import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openClient } from "../src/api/client.ts";
import { percentile, rounded, until } from "./measure.ts";
import { startDaemon } from "./nexus/daemon.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable } from "./table.ts";

const commands = {
  "ends when asked": "sleep 1000",
  "ignores every signal": "trap '' TERM INT HUP; while :; do sleep 1000; done",
  "forked twice, in sessions of their own":
    "trap '' TERM; for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'trap \"\" TERM; sleep 1000' &); done; sleep 1000",
};

/** From the request to cancel to the moment nothing of the command is alive, by the cgroups of the host. */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  await using daemon = await startDaemon();
  const client = openClient(daemon.socket);
  using _close = { [Symbol.dispose]: () => client.close() };
  const rows: [string, number, number, number][] = [];
  const figures: Record<string, number> = {};
  for (const profile of ["untrusted", "host"] as const)
    for (const [what, script] of Object.entries(commands)) {
      const samples: number[] = [];
      for (let i = 0; i < (options.quick ? 5 : 40); i++) {
        const { id } = await client.call("run.create", { body: { profile, command: ["sh", "-c", script] } });
        await until("the command to run", 10_000, () => sleepers() > 0);
        await new Promise((resolve) => setTimeout(resolve, 20));
        const since = performance.now();
        await client.call("run.cancel", { params: { id } });
        const took = performance.now() - since;
        if (sleepers() > 0) throw new Error(`${sleepers()} processes are left`);
        samples.push(took);
      }
      rows.push([`${profile}: ${what}`, percentile(samples, 0.5), percentile(samples, 0.95), percentile(samples, 1)]);
      figures[`${profile}_${what.split(" ")[0]}_p95_ms`] = rounded(percentile(samples, 0.95));
    }
  printTable("sandbox-cancel: milliseconds until nothing of it is alive", ["what", "p50", "p95", "max"], rows);
  return figures;
}

/** Processes of the commands: nobody else is in this process namespace. */
function sleepers(): number {
  return readdirSync("/proc").filter((entry) => {
    const file = join("/proc", entry, "cmdline");
    if (!/^\d+$/.test(entry) || !existsSync(file)) return false;
    try {
      return readFileSync(file, "latin1").startsWith("sleep\0");
    } catch {
      return false;
    }
  }).length;
}
