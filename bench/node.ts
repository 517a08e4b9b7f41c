import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bareRuntime } from "./containers/bare.ts";
import { podman } from "./containers/podman.ts";
import { clockOf, makeRootfs, tellTime, wallClock } from "./containers/rootfs.ts";
import { interleave, median, rounded, summarize, until } from "./measure.ts";
import { NexusClient } from "./nexus/client.ts";
import { startDaemon } from "./nexus/daemon.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * From the request to the instant the container's command prints: `node create` through the API (network, address, name, overlay, limits included), the same OCI
 * runtime by hand on the same root file system without any of that, and `podman run`.
 */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  using rootfs = makeRootfs();
  await using daemon = await startDaemon();
  using client = new NexusClient(daemon.socket);
  await client.call("POST", "/v1/networks", { name: "bench", subnets: ["10.100.0.0/24"] });

  let count = 0;
  const nexusRun = async (): Promise<number> => {
    const name = `node${count++}`;
    const begin = wallClock();
    await client.call("POST", "/v1/nodes", {
      name,
      image: rootfs.directory,
      command: tellTime,
      mem: 64,
      pids: 64,
      networks: [{ network: "bench" }],
    });
    const at = await firstOutput(client, name);
    await client.call("DELETE", `/v1/nodes/${name}?force=true`);
    return at - begin;
  };
  await nexusRun();
  const runtime = chosenRuntime(daemon.directory);
  progress(`runtime chosen by nexus: ${runtime}`);
  const bare = bareRuntime(runtime, rootfs.directory);
  using peer = podman(rootfs.directory);

  progress("interleaved rounds");
  const rounds = { warmup: 2, measured: options.quick ? 5 : 25 };
  const samples = await interleave({ nexus: nexusRun, bare: async () => bare(), podman: async () => peer.run() }, rounds);

  const [nexusMs, bareMs, podmanMs] = [median(samples.nexus), median(samples.bare), median(samples.podman)];
  const row = (what: string, taken: number[], beside: string) => [what, summarize(taken).p50, summarize(taken).p99, beside];
  printTable(
    "node: milliseconds to the first output",
    ["what", "p50", "p99", "beside"],
    [
      row("nexus node create", samples.nexus, `${rounded(nexusMs - bareMs)} ms over bare`),
      row(`${runtime} run, bare`, samples.bare, ""),
      row("podman run --runtime runc", samples.podman, `${rounded(podmanMs / nexusMs)}× nexus`),
    ],
  );
  return {
    over_bare_ms: rounded(nexusMs - bareMs),
    bare_ms: rounded(bareMs),
    nexus_ms: rounded(nexusMs),
    podman_ms: rounded(podmanMs),
    podman_ratio: rounded(podmanMs / nexusMs),
    runtime,
    samples: samples.nexus.length,
  };
}

/** What the daemon found to work here, as it remembers it (docs/state-on-disk.md). */
function chosenRuntime(directory: string): string {
  const memory = JSON.parse(readFileSync(join(directory, "state/runtime/runtime.json"), "utf8")) as { runtime: { program: string } };
  return memory.runtime.program;
}

/** Reads it from the node's log, which may lag behind; the time counted is the one the container printed. */
async function firstOutput(client: NexusClient, name: string): Promise<number> {
  let printed = "";
  await until(`output of ${name}`, 10_000, async () => {
    printed = await client.text(`/v1/nodes/${name}/logs`);
    return /\d{19}/.test(printed);
  });
  return clockOf(printed);
}
