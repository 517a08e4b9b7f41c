import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rounded, summarize, timed } from "./measure.ts";
import { startDaemon } from "./nexus/daemon.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress } from "./table.ts";

const launcher = fileURLToPath(new URL("../nexus", import.meta.url));

/** Ten nodes on three networks, with volumes, ports and needs: what `up` and `ps` cost once all is as it should be. */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  await using daemon = await startDaemon();
  const directory = mkdtempSync(join(tmpdir(), "nexus-bench-compose-"));
  const nexus = (...args: string[]) => {
    const { status, stderr } = spawnSync(launcher, args, {
      cwd: directory,
      encoding: "utf8",
      env: { ...process.env, NEXUS_SOCKET: daemon.socket },
    });
    if (status !== 0) throw new Error(`nexus ${args.join(" ")}: ${stderr}`);
  };
  try {
    writeFileSync(join(directory, "nexus-compose.yaml"), project());
    progress("up, from nothing");
    const firstMs = await timed(() => nexus("up"));
    const rounds = options.quick ? 5 : 30;
    const [up, ps]: number[][] = [[], []];
    for (let i = 0; i < rounds; i++) {
      up?.push(await timed(() => nexus("up")));
      ps?.push(await timed(() => nexus("ps")));
    }
    const [unchanged, list] = [summarize(up ?? []), summarize(ps ?? [])];
    const downMs = await timed(() => nexus("down", "-v"));
    printTable(
      "compose: ten nodes on three networks",
      ["command", "median ms", "slowest ms"],
      [
        ["up, nothing changed", unchanged.p50, unchanged.max],
        ["ps", list.p50, list.max],
        ["up, from nothing", firstMs, firstMs],
        ["down -v", downMs, downMs],
      ],
    );
    return {
      up_unchanged_ms: rounded(unchanged.p50),
      ps_ms: rounded(list.p50),
      first_up_ms: rounded(firstMs),
      down_ms: rounded(downMs),
      samples: rounds,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function project(): string {
  const nodes = Array.from({ length: 10 }, (_, i) => {
    const needs = i === 0 ? "" : `, depends_on: [n${i - 1}]`;
    return `  n${i}: {command: [sleep, "3600"], stop_grace_period: 0s, networks: [lan${i % 3}], ports: ["${20_000 + i}:80"], volumes: ["data:/data"]${needs}}`;
  });
  return `name: bench\nnetworks: {lan0: {}, lan1: {}, lan2: {}}\nvolumes: {data: {}}\nnodes:\n${nodes.join("\n")}\n`;
}
