import { fileURLToPath } from "node:url";
import { makeRootfs } from "./containers/rootfs.ts";
import { inParallel, median, rounded, summarize, timed } from "./measure.ts";
import { NexusClient } from "./nexus/client.ts";
import { residentMib, startDaemon } from "./nexus/daemon.ts";
import { runOrThrow } from "./program.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress } from "./table.ts";

const launcher = fileURLToPath(new URL("../nexus", import.meta.url));

/** What 100 running nodes cost while nothing happens: memory of the daemon, and how long a person waits for `nexus node ls`. */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  using rootfs = makeRootfs();
  await using daemon = await startDaemon();
  using client = new NexusClient(daemon.socket, 8);
  await client.call("POST", "/v1/networks", { name: "bench", subnets: ["10.100.0.0/24"] });
  const emptyMib = residentMib(daemon.pid);
  const names = Array.from({ length: options.quick ? 10 : 100 }, (_, i) => `node${i}`);

  progress(`starting ${names.length} nodes`);
  const startMs = await timed(() =>
    inParallel(names, 4, (name) =>
      client.call("POST", "/v1/nodes", {
        name,
        image: rootfs.directory,
        command: ["/bin/sleep", "3600"],
        mem: 16,
        networks: [{ network: "bench" }],
      }),
    ),
  );
  try {
    progress("letting the daemon come to rest, and watching it");
    await new Promise((resolve) => setTimeout(resolve, restMs));
    const rss = await highestResident(daemon.pid, 5000);
    const list: number[] = [];
    for (let i = 0; i < 12; i++) list.push(await timed(() => listNodes(daemon.socket, names.length)));
    const ls = summarize(list.slice(2));
    printTable(
      `idle: ${names.length} nodes running`,
      ["what", "figure"],
      [
        ["daemon's memory without nodes, MiB", emptyMib],
        ["daemon's memory, MiB", rss],
        ["nexus node ls, median ms", ls.p50],
        ["nexus node ls, slowest ms", ls.max],
        ["all started after ms", startMs],
      ],
    );
    return {
      rss_mb: rounded(rss),
      node_ls_ms: rounded(median(list.slice(2))),
      empty_rss_mb: rounded(emptyMib),
      start_all_ms: rounded(startMs),
      nodes: names.length,
    };
  } finally {
    progress("removing the nodes");
    await inParallel(names, 4, (name) => client.call("DELETE", `/v1/nodes/${name}?force=true`));
  }
}

/** Longer than the daemon takes to give back what its last work left. */
const restMs = 12_000;

/** The highest of what is seen: a garbage collection just before would flatter. */
async function highestResident(pid: number, ms: number): Promise<number> {
  const end = performance.now() + ms;
  let highest = 0;
  while (performance.now() < end) {
    highest = Math.max(highest, residentMib(pid));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return highest;
}

function listNodes(socket: string, expected: number): void {
  const listed = JSON.parse(runOrThrow(launcher, ["node", "ls", "--json"], "", { NEXUS_SOCKET: socket })) as unknown[];
  if (listed.length !== expected) throw new Error(`nexus node ls shows ${listed.length} of ${expected} nodes`);
}
