import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parsePort, type Port } from "../src/base/port.ts";
import { addressAt, makePrefix } from "../src/base/prefix.ts";
import { DnsServer } from "../src/services/dns/server.ts";
import type { GuestRecord } from "../src/services/dns/zone.ts";
import { changeRecords } from "./dns-changes.ts";
import { benchIp, benchName, benchRecords } from "./dns-names.ts";
import { aardvark, answering, dnsmasq, type Peer } from "./dns-peers.ts";
import { dnsperf, type PerfResult } from "./dns-perf.ts";
import { isInside, runInside } from "./inside.ts";
import { percentile, rounded, timed } from "./measure.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * Queries per second with 5,000 names beside dnsmasq and aardvark-dns, then 1,000 changes while dnsperf asks.
 * dnsperf and the server share the machine's processors, for each server alike.
 */
export const run: Benchmark = async ({ quick }) => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-bench-dns-"));
  try {
    const records = benchRecords(nameCount);
    const seconds = quick ? 1 : 4;
    const ours = await benchOurs({ directory, records, seconds });
    const peers = new Map<Peer, PerfResult>();
    for (const peer of [dnsmasq, aardvark]) peers.set(peer, await benchPeer(peer, { directory, records, seconds }));
    const rows = [
      ["nexus", ours.steady] as const,
      ["nexus, changing", ours.changing] as const,
      ...[...peers].map(([peer, result]) => [peer.name, result] as const),
    ];
    printTable(
      `DNS: ${nameCount} names, dnsperf for ${seconds} s`,
      ["server", "queries/s", "average ms", "lost", "not NOERROR"],
      rows.map(([name, r]) => [name, r.qps, r.averageMs, r.lost, r.sent - r.lost - r.noError]),
    );
    const changes = (samples: number[]) => ["p50", "p99"].map((name) => rounded(percentile(samples, Number(name.slice(1)) / 100)));
    const [idle50 = 0, idle99 = 0] = changes(ours.visibleIdle);
    const [busy50 = 0, busy99 = 0] = changes(ours.visible);
    printTable(
      `${changeCount} changes: ms until a query sees each`,
      ["load", "p50", "p99"],
      [
        ["none", idle50, idle99],
        ["dnsperf at full speed", busy50, busy99],
      ],
    );
    const ratio = (peer: Peer) => rounded(ours.steady.qps / (peers.get(peer)?.qps ?? Number.NaN));
    return {
      qps: Math.round(ours.steady.qps),
      average_ms: rounded(ours.steady.averageMs),
      lost: ours.steady.lost,
      dnsmasq_qps: Math.round(peers.get(dnsmasq)?.qps ?? 0),
      dnsmasq_ratio: ratio(dnsmasq),
      aardvark_qps: Math.round(peers.get(aardvark)?.qps ?? 0),
      aardvark_ratio: ratio(aardvark),
      changes: changeCount,
      qps_during_changes: Math.round(ours.changing.qps),
      lost_during_changes: ours.changing.lost,
      wrong_during_changes: ours.changing.sent - ours.changing.lost - ours.changing.noError,
      p_change_visible_ms: idle50,
      p99_change_visible_ms: idle99,
      p_change_visible_loaded_ms: busy50,
      p99_change_visible_loaded_ms: busy99,
      names: nameCount,
      load_names_ms: rounded(ours.loadMs),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const nameCount = 5000;
const changeCount = 1000;
const port = parsePort(5301) as Port;

type Work = { directory: string; records: readonly GuestRecord[]; seconds: number };

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } } });
  if (!isInside()) process.exitCode = await runInside(import.meta.filename, process.argv.slice(2), 120_000);
  else {
    const figures = await run(values);
    if (values.json) console.log(JSON.stringify(figures));
  }
}

async function benchOurs({ directory, records, seconds }: Work) {
  await using server = new DnsServer({ resolvConf: "/dev/null" });
  const network = benchName("lan");
  const prefix = makePrefix(benchIp("10.64.0.0"), 16);
  server.setNetwork({ network, prefixes: [prefix], gateways: [addressAt(prefix, 1n)], visible: [], forward: false });
  const loadMs = await timed(() => server.setRecords(network, records));
  await server.listen({ address: benchIp("127.0.0.1"), network, port });
  const queries = writeQueries(directory, "lan.nexus", records);
  progress("nexus");
  const steady = await dnsperf({ port, queries, seconds });
  progress("nexus, changes without load");
  const visibleIdle = await changeRecords(server, { port, changes: changeCount, pauseMs: 0 });
  progress("nexus, changes under load");
  const [changing, visible] = await Promise.all([
    dnsperf({ port, queries, seconds }),
    pause(200).then(() => changeRecords(server, { port, changes: changeCount, pauseMs: 1 })),
  ]);
  return { steady, changing, visible, visibleIdle, loadMs };
}

async function benchPeer(peer: Peer, { directory, records, seconds }: Work): Promise<PerfResult> {
  progress(peer.name);
  const child = peer.start(directory, records);
  try {
    await answering(peer.port, `guest-0.${peer.suffix}`);
    return await dnsperf({ port: peer.port, queries: writeQueries(directory, peer.suffix, records), seconds });
  } finally {
    child.kill("SIGKILL");
    if (peer.pidFile !== undefined) process.kill(Number(readFileSync(join(directory, peer.pidFile), "utf8")), "SIGKILL");
  }
}

function writeQueries(directory: string, suffix: string, records: readonly GuestRecord[]): string {
  const path = join(directory, `queries.${suffix}`);
  writeFileSync(path, records.map((record) => `${record.guest}.${suffix} A\n`).join(""));
  return path;
}
