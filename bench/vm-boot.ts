import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { socketNames } from "../src/guests/qemu-layout.ts";
import { GuestAgent } from "../src/guests/qga.ts";
import { Qmp } from "../src/guests/qmp.ts";
import { until, interleave, median, rounded, summarize } from "./measure.ts";
import { NexusClient } from "./nexus/client.ts";
import { startDaemon } from "./nexus/daemon.ts";
import { directoryOf, wordsByName } from "./nexus/qemu-words.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

const together = 5;

/**
 * From the request to the guest's agent answering: `vm create` of the mini image through the API, in user mode and on a network, and
 * the command line that this gave QEMU, run by hand in a directory of its own. Then five at once. What the guest does between is the
 * same for all and by far the longest, so the time until QEMU says that the processors run is shown beside it.
 */
export const run: Benchmark = async ({ quick }) => {
  await using daemon = await startDaemon();
  using client = new NexusClient(daemon.socket, together);
  await client.call("POST", "/v1/networks", { name: "bench", subnets: ["10.100.0.0/24"] });
  let count = 0;
  const running = { nexus: [] as number[], network: [] as number[], hand: [] as number[] };

  const nexusRun = async (networks: { network: string }[]): Promise<number> => {
    const name = `vm${count++}`;
    const begin = performance.now();
    const { body } = await client.call("POST", "/v1/vms", { name, mem: 128, networks });
    running[networks.length === 0 ? "nexus" : "network"].push(performance.now() - begin);
    await agentAnswers(directoryOf((body as { pid: number }).pid));
    const took = performance.now() - begin;
    await client.call("DELETE", `/v1/vms/${name}?force=true`);
    return took;
  };
  const words = await commandLine(client);
  const byHand = async (): Promise<number> => {
    const directory = mkdtempSync(join(daemon.directory, "by-hand-"));
    const begin = performance.now();
    const qemu = spawn(words[0] ?? "", words.slice(1), { cwd: directory, stdio: "ignore" });
    await processorsRun(directory);
    running.hand.push(performance.now() - begin);
    await agentAnswers(directory);
    const took = performance.now() - begin;
    await end(qemu);
    rmSync(directory, { recursive: true });
    return took;
  };
  const all = async (one: () => Promise<number>): Promise<number> =>
    Math.max(...(await Promise.all(Array.from({ length: together }, one))));

  progress("interleaved rounds");
  const rounds = quick ? { warmup: 1, measured: 3 } : { warmup: 1, measured: 10 };
  const onNetwork = () => nexusRun([{ network: "bench" }]);
  const one = await interleave({ nexus: () => nexusRun([]), network: onNetwork, hand: byHand }, rounds);
  const [nexusRuns, networkRuns, handRuns] = [running.nexus, running.network, running.hand].map(median) as [number, number, number];
  progress(`${together} at once`);
  const five = await interleave(
    { nexus: () => all(() => nexusRun([])), hand: () => all(byHand) },
    quick ? { warmup: 0, measured: 1 } : { warmup: 0, measured: 3 },
  );

  const [nexus, network, hand] = [one.nexus, one.network, one.hand].map(median) as [number, number, number];
  const [nexusFive, handFive] = [five.nexus, five.hand].map(median) as [number, number];
  const row = (what: string, taken: number[], beside: string) => [what, summarize(taken).p50, summarize(taken).max, beside];
  printTable(
    "vm-boot: milliseconds to the agent's answer",
    ["what", "p50", "max", "beside"],
    [
      ["nexus, until it answers that it runs", nexusRuns, Math.max(...running.nexus), `${rounded(nexusRuns - handRuns)} ms over by hand`],
      ["nexus, the same on a network", networkRuns, Math.max(...running.network), `${rounded(networkRuns - handRuns)} ms over by hand`],
      ["by hand, until the monitor says so", handRuns, Math.max(...running.hand), ""],
      row("nexus vm create, user mode", one.nexus, `${rounded(nexus - hand)} ms over by hand`),
      row("nexus vm create, on a network", one.network, `${rounded(network - hand)} ms over by hand`),
      row("the same QEMU by hand", one.hand, ""),
      row(`nexus, ${together} at once: the last`, five.nexus, `${rounded(nexusFive / nexus)}× one`),
      row(`by hand, ${together} at once: the last`, five.hand, `${rounded(handFive / hand)}× one`),
    ],
  );
  return {
    running_over_hand_ms: rounded(nexusRuns - handRuns),
    network_running_over_hand_ms: rounded(networkRuns - handRuns),
    nexus_running_ms: rounded(nexusRuns),
    hand_running_ms: rounded(handRuns),
    over_hand_ms: rounded(nexus - hand),
    network_over_hand_ms: rounded(network - hand),
    nexus_ms: rounded(nexus),
    network_ms: rounded(network),
    hand_ms: rounded(hand),
    five_nexus_ms: rounded(nexusFive),
    five_hand_ms: rounded(handFive),
    five_over_hand_ratio: rounded(nexusFive / handFive),
    samples: one.nexus.length,
  };
};

/** What the daemon gives QEMU for such a guest, without the port it forwards. */
async function commandLine(client: NexusClient): Promise<string[]> {
  const { body } = await client.call("POST", "/v1/vms", { name: "first", mem: 128 });
  const { pid } = body as { pid: number };
  const words = wordsByName(pid);
  await agentAnswers(directoryOf(pid));
  await client.call("DELETE", "/v1/vms/first?force=true");
  return words.map((word) => word.replace(/,hostfwd=[^,]*/, ""));
}

/** Asked the same way for both: again every few milliseconds until the socket is there, then on one connection. */
async function agentAnswers(directory: string): Promise<void> {
  await until("the agent's answer", 120_000, async () => {
    try {
      using agent = await GuestAgent.connect(directory, socketNames.agent, { timeoutMs: 60_000 });
      await agent.ping();
      return true;
    } catch {
      return false;
    }
  });
}

async function processorsRun(directory: string): Promise<void> {
  await until("the monitor's answer", 60_000, async () => {
    try {
      using qmp = await Qmp.connect(directory, socketNames.monitor, { timeoutMs: 10_000 });
      return ((await qmp.execute("query-status")) as { running: boolean }).running;
    } catch {
      return false;
    }
  });
}

async function end(qemu: ChildProcess): Promise<void> {
  const ended = once(qemu, "exit");
  qemu.kill("SIGKILL");
  await ended;
}
