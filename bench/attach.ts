import { readFileSync } from "node:fs";
import { inParallel, interleave, median, percentile, rounded, summarize, timed, until } from "./measure.ts";
import { NexusClient } from "./nexus/client.ts";
import { startDaemon } from "./nexus/daemon.ts";
import { cniChain } from "./peers/cni.ts";
import { netavark } from "./peers/netavark.ts";
import type { Peer } from "./peers/peer.ts";
import { runOrThrow } from "./program.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress, type Row } from "./table.ts";

/**
 * One attachment with one published port: through nexusd's API (namespace made by it, lease durable, DNS name, rules, all included), by netavark, and by the CNI
 * chain (both without making the namespace; netavark without choosing an address). Ratios compare what the callers wait.
 */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  await using daemon = await startDaemon();
  using nexus = new Attachments(daemon.socket);
  const spawnMs = median(Array.from({ length: 20 }, spawnNothing));

  const rows: Row[] = [];
  const levels = [];
  for (const present of options.quick ? [10] : [10, 100]) {
    const level = await besidePeers(nexus, present, options.quick ? 5 : 30);
    levels.push(level);
    rows.push(
      row(`nexus, ${present} present, in the daemon`, level.nexusApp, ""),
      row(`nexus, ${present} present, as the caller waits`, level.nexusWall, ""),
      row(`netavark, ${present} present`, level.netavark, `${rounded(level.netavarkRatio)}×`),
      row(`CNI chain, ${present} present`, level.cni, `${rounded(level.cniRatio)}×`),
    );
  }
  const [first, second] = levels;
  if (first === undefined) throw new Error("no level was measured");

  const scale = await manyPresent(nexus, options.quick ? 40 : 200);
  rows.push(
    row("nexus, 10 on 10 networks", scale.few, ""),
    row("nexus, 1,000 on 10 networks", scale.many, `${rounded(scale.ratio)}× of 10`),
  );
  const detach = summarize(first.nexusDetach);
  rows.push(row("nexus, detach, in the daemon", first.nexusDetach, ""));
  const burst = await burstOf(nexus, 500);
  printTable("attach: milliseconds", ["what", "p50", "p99", "max", "beside nexus"], rows);
  printTable(
    "many at once: milliseconds",
    ["what", "took"],
    [
      ["500 attachments in parallel", burst],
      ["1,000 detached, API answered", scale.removeAnsweredMs],
      ["1,000 detached, gone from the kernel", scale.removeMs],
      ["starting a program that does nothing (part of each peer process)", spawnMs],
    ],
  );

  const app = summarize(first.nexusApp);
  return {
    p50_ms: rounded(app.p50),
    p99_ms: rounded(app.p99),
    netavark_ratio: rounded(first.netavarkRatio),
    cni_ratio: rounded(first.cniRatio),
    scale_ratio_1000_10: rounded(scale.ratio),
    parallel_500_ms: rounded(burst),
    detach_ms: rounded(detach.p50),
    remove_1000_ms: rounded(scale.removeMs),
    remove_1000_answered_ms: rounded(scale.removeAnsweredMs),
    wall_p50_ms: rounded(median(first.nexusWall)),
    netavark_ms: rounded(median(first.netavark)),
    cni_ms: rounded(median(first.cni)),
    netavark_detach_ms: rounded(median(first.netavarkDetach)),
    cni_detach_ms: rounded(median(first.cniDetach)),
    ...(second === undefined ? {} : { netavark_ratio_100: rounded(second.netavarkRatio), cni_ratio_100: rounded(second.cniRatio) }),
    spawn_ms: rounded(spawnMs),
    samples: app.count,
  };
}

/** The same step by each contestant in turn, each with `present` attachments of its own on one network. */
async function besidePeers(nexus: Attachments, present: number, measured: number) {
  progress(`${present} attachments in place for nexus, netavark and CNI`);
  const peers: Peer[] = [netavark(), cniChain()];
  await nexus.createNetworks(1);
  for (let slot = 0; slot < present; slot++) await nexus.attach(slot, 1);
  for (const peer of peers) for (let slot = 0; slot < present; slot++) peer.attach(slot);

  progress(`${measured} interleaved rounds`);
  const nexusApp: number[] = [];
  const nexusDetach: number[] = [];
  const detach: Record<string, number[]> = { netavark: [], cni: [] };
  const peerRound = (peer: Peer) => async () => {
    const ms = peer.attach(present);
    detach[peer.name]?.push(peer.detach(present));
    return ms;
  };
  const [first, second] = peers as [Peer, Peer];
  const samples = await interleave(
    {
      nexus: async () => {
        const links = linkCount();
        const wall: number[] = [];
        for (let i = 0; i < 10; i++) {
          const answer = await nexus.attach(present, 1);
          wall.push(answer.wallMs);
          nexusApp.push(answer.appMs);
          nexusDetach.push((await nexus.detach(present)).appMs);
        }
        await until("the last detached link going", 10_000, () => linkCount() <= links);
        return wall;
      },
      netavark: peerRound(first),
      cni: peerRound(second),
    },
    { warmup: 2, measured },
  );

  progress("taking all down again");
  for (const peer of peers) for (let slot = 0; slot < present; slot++) peer.detach(slot);
  for (let slot = 0; slot < present; slot++) await nexus.detach(slot);
  await nexus.removeNetworks(1);
  const wall = median(samples.nexus);
  return {
    nexusApp: nexusApp.slice(-measured * 10),
    nexusWall: samples.nexus,
    nexusDetach: nexusDetach.slice(-measured * 10),
    netavark: samples.netavark,
    cni: samples.cni,
    netavarkDetach: detach["netavark"] ?? [],
    cniDetach: detach["cni"] ?? [],
    netavarkRatio: median(samples.netavark) / wall,
    cniRatio: median(samples.cni) / wall,
  };
}

/** The price of company: the same attach with 10, then 1,000, then again 10 in place over ten networks; the two tens are pooled. */
async function manyPresent(nexus: Attachments, count: number) {
  const networks = 10;
  await nexus.createNetworks(networks);
  const links = linkCount();
  const sample = async (): Promise<number[]> => {
    const samples: number[] = [];
    for (let i = -10; i < count; i++) {
      const { appMs } = await nexus.attach(5000 + (((i % networks) + networks) % networks), networks);
      await nexus.detach(5000 + (((i % networks) + networks) % networks));
      if (i >= 0) samples.push(appMs);
    }
    return samples;
  };

  for (let slot = 0; slot < 10; slot++) await nexus.attach(slot, networks);
  progress("attach with 10 in place");
  const few = await sample();
  progress("filling up to 1,000");
  const rest = Array.from({ length: 990 }, (_, i) => i + 10);
  await inParallel(rest, 8, (slot) => nexus.attach(slot, networks));
  progress("attach with 1,000 in place");
  const many = await sample();

  progress("removing 1,000");
  for (let slot = 5990; slot < 6000; slot++) await nexus.attach(slot, networks);
  const all = [...rest, ...Array.from({ length: 10 }, (_, i) => 5990 + i)];
  const begin = performance.now();
  const removeAnsweredMs = await timed(() => inParallel(all, 32, (slot) => nexus.detach(slot)));
  await until("1,000 links going", 60_000, () => linkCount() <= links + 10);
  const removeMs = performance.now() - begin;

  progress("attach with 10 in place again");
  few.push(...(await sample()));
  for (let slot = 0; slot < 10; slot++) await nexus.detach(slot);
  await until("the last links going", 60_000, () => linkCount() <= links);
  await nexus.removeNetworks(networks);
  return { few, many, removeMs, removeAnsweredMs, ratio: percentile(many, 0.5) / percentile(few, 0.5) };
}

/** All requests sent at once, until the last answer. */
async function burstOf(nexus: Attachments, count: number): Promise<number> {
  progress(`${count} attachments in parallel`);
  await nexus.createNetworks(10);
  const links = linkCount();
  const slots = Array.from({ length: count }, (_, slot) => slot);
  const took = await timed(() => inParallel(slots, count, (slot) => nexus.attach(slot, 10)));
  await inParallel(slots, 32, (slot) => nexus.detach(slot));
  await until("the links of the burst going", 60_000, () => linkCount() <= links);
  await nexus.removeNetworks(10);
  return took;
}

/** Attachments by number: slot n publishes a port of its own and sits on network n modulo the number of networks. */
class Attachments {
  readonly #client: NexusClient;

  constructor(socket: string) {
    this.#client = new NexusClient(socket, 500);
  }

  attach(slot: number, networks: number) {
    return this.#client.call("POST", "/v1/attachments", {
      name: `a${slot}`,
      networks: [{ network: `bench${slot % networks}` }],
      publish: [{ protocol: "tcp", hostPort: 30000 + slot, guestPort: 80 }],
    });
  }

  detach(slot: number) {
    return this.#client.call("DELETE", `/v1/attachments/a${slot}`);
  }

  async createNetworks(count: number): Promise<void> {
    for (let i = 0; i < count; i++)
      await this.#client.call("POST", "/v1/networks", { name: `bench${i}`, subnets: [`10.${100 + i}.0.0/24`] });
  }

  async removeNetworks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#client.call("DELETE", `/v1/networks/bench${i}`);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

/** Interfaces of this namespace, without an allocation worth measuring. */
function linkCount(): number {
  return readFileSync("/proc/net/dev", "utf8").split("\n").length - 3;
}

function spawnNothing(): number {
  const begin = performance.now();
  runOrThrow("true", []);
  return performance.now() - begin;
}

function row(what: string, samples: readonly number[], beside: string): Row {
  const { p50, p99, max } = summarize(samples);
  return [what, p50, p99, max, beside];
}
