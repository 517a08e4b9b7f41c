import { type ChildProcess, spawn } from "node:child_process";
import { once as event } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { interleave, percentile, rounded, until } from "./measure.ts";
import { residentMib } from "./nexus/daemon.ts";
import { ip, runOrThrow } from "./program.ts";
import { once, opened, said, type Way } from "./proxy/client.ts";
import { clientHello } from "./proxy/hello.ts";
import { peers, type ProxyPeer } from "./proxy/peers.ts";
import { originAddress, originName, ports } from "./proxy/place.ts";
import { speeds } from "./proxy/speeds.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * The egress proxy beside tinyproxy and sandbox-runtime's: requests per second, what a request waits longer than without a
 * proxy, memory of idle tunnels, and what one run's flood costs another. All of them allow the one host only and log.
 */
export const run: Benchmark = async ({ quick }) => {
  // Memory here: tinyproxy flushes its log to the disk at each line.
  const directory = mkdtempSync("/run/nexus-bench-proxy-");
  using children = new DisposableStack();
  children.defer(() => rmSync(directory, { recursive: true, force: true }));
  const start = (name: string, command: [string, ...string[]]) => started(children, { name, command, directory });
  prepareNames(directory);
  start("origin", [process.execPath, join(import.meta.dirname, "proxy/origin.ts")]);
  const nexus: ProxyPeer = {
    name: "nexus",
    port: ports.nexus,
    keepsAlive: true,
    command: [process.execPath, join(import.meta.dirname, "proxy/serve.ts"), join(directory, "audit"), "lifted"],
  };
  const all = [nexus, ...peers(directory)];
  const processes = all.map((peer) => start(peer.name, peer.command));
  await listening(originAddress, ports.http);
  for (const peer of all) await listening("127.0.0.1", peer.port);

  const speed = await speeds(
    all.map((peer, i) => ({ ...peer, pid: processes[i]?.pid ?? 0 })),
    quick,
  );
  const latency = await latencies(all, quick);
  const sni = await sniCost(quick);
  await Promise.all(processes.map(ended));
  const memory = await idleTunnels(all, start, quick ? 200 : 1000);
  const flood = await floodCost(start, { directory, quick });
  const row = (peer: ProxyPeer) => [
    peer.name,
    ...(["fresh", "kept", "connect"] as const).flatMap((kind): (string | number)[] => {
      const one = speed.get(peer.name)?.[kind];
      return one === undefined ? ["closes", ""] : [one.perSecond, one.cpuUs];
    }),
    latency.by.get(peer)?.http ?? 0,
    latency.by.get(peer)?.connect ?? 0,
    memory.get(peer)?.grown ?? 0,
  ];
  printTable(
    "egress proxies: 16 clients at once; latency of one alone",
    [
      "proxy",
      "HTTP/s, new connections",
      "µs CPU",
      "HTTP/s, kept",
      "µs CPU",
      "CONNECT/s",
      "µs CPU",
      "HTTP ms p50",
      "CONNECT ms p50",
      `MiB, ${memory.get(nexus)?.tunnels} idle tunnels`,
    ],
    [["no proxy", "", "", "", "", "", "", latency.direct, "", ""], ...all.map(row)],
  );
  printTable(
    "what one run's flood costs another: ms of a request through a new tunnel",
    ["", "p50", "p95"],
    [
      ["alone", flood.alone.p50, flood.alone.p95],
      ["beside a process that only burns a processor", flood.busy.p50, flood.busy.p95],
      ["beside a flood of another run", flood.flooded.p50, flood.flooded.p95],
    ],
  );
  const of = (peer: ProxyPeer) => ({
    ...speed.get(peer.name),
    ms: latency.by.get(peer),
    idle_tunnels_mib: memory.get(peer)?.grown,
    resident_mib: memory.get(peer)?.resident,
  });
  return { ...Object.fromEntries(all.map((peer) => [peer.name, of(peer)])), direct_ms: latency.direct, sni_check_ms_p50: sni, flood };
};

/** A request on a connection of its own, without a proxy and through each. */
async function latencies(
  all: readonly ProxyPeer[],
  quick: boolean,
): Promise<{ direct: number; by: Map<ProxyPeer, { http: number; connect: number }> }> {
  progress("latency");
  const ways: Record<string, Way> = { direct: { kind: "direct" } };
  for (const { name, port } of all) for (const kind of ["http", "connect"] as const) ways[`${name} ${kind}`] = { kind, proxy: port };
  const contestants = Object.fromEntries(Object.entries(ways).map(([name, way]) => [name, () => once(way)]));
  const samples = await interleave(contestants, { warmup: quick ? 10 : 100, measured: quick ? 50 : 1000 });
  const p50 = (name: string) => percentile(samples[name] ?? [], 0.5);
  return {
    direct: rounded(p50("direct")),
    by: new Map(all.map((peer) => [peer, { http: rounded(p50(`${peer.name} http`)), connect: rounded(p50(`${peer.name} connect`)) }])),
  };
}

/** What the check of the ClientHello adds: a tunnel by a rule that demands TLS, beside one by a rule that does not. */
async function sniCost(quick: boolean): Promise<number> {
  const hello = clientHello(originName);
  const tunnel = (proxy: number) => async () => {
    const begin = performance.now();
    const socket = await opened({ kind: "connect", proxy }, ports.echo);
    socket.write(hello);
    await said(socket, (text) => text.length >= hello.length);
    const took = performance.now() - begin;
    socket.destroy();
    return took;
  };
  const samples = await interleave(
    { tls: tunnel(ports.calm), tcp: tunnel(ports.nexus) },
    { warmup: quick ? 10 : 100, measured: quick ? 50 : 1000 },
  );
  return rounded(percentile(samples.tls, 0.5) - percentile(samples.tcp, 0.5));
}

/** In processes that have done nothing before, whose heaps have no room to spare. */
async function idleTunnels(all: readonly ProxyPeer[], start: Start, tunnels: number): Promise<Map<ProxyPeer, Memory>> {
  progress(`${tunnels} idle tunnels`);
  const grown = new Map<ProxyPeer, Memory>();
  for (const peer of all) {
    const child = start(peer.name, peer.command);
    await listening("127.0.0.1", peer.port);
    await once({ kind: "connect", proxy: peer.port });
    const before = residentOf(child.pid ?? 0);
    const open = await Promise.all(Array.from({ length: tunnels }, () => opened({ kind: "connect", proxy: peer.port }, ports.echo)));
    const after = residentOf(child.pid ?? 0);
    grown.set(peer, { grown: rounded(Math.max(0, after - before)), resident: rounded(after), tunnels });
    for (const socket of open) socket.destroy();
    await ended(child);
  }
  return grown;
}

type Memory = { grown: number; resident: number; tunnels: number };

/** A process with the children it forked. */
function residentOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  return [pid, ...children.map(Number)].reduce((sum, each) => sum + residentMib(each), 0);
}

type Percentiles = { p50: number; p95: number };
type Start = (name: string, command: [string, ...string[]]) => ChildProcess;

/** With the limits as they are by default. The flood takes a processor too, which is not the proxy's doing; hence the third figure. */
async function floodCost(
  start: Start,
  { directory, quick }: { directory: string; quick: boolean },
): Promise<Record<"alone" | "busy" | "flooded", Percentiles>> {
  progress("a flood of one run beside another");
  start("nexus, limited", [process.execPath, join(import.meta.dirname, "proxy/serve.ts"), join(directory, "audit-limited")]);
  await listening("127.0.0.1", ports.calm);
  const block = async () => {
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      times.push(await once({ kind: "connect", proxy: ports.calm }));
      // Within its own rate.
      await pause(3);
    }
    return times;
  };
  /** Beside a process that runs for the block only; it has a moment to get going. */
  const beside = (child: ChildProcess) => async () => {
    child.kill("SIGCONT");
    await pause(500);
    const times = await block();
    child.kill("SIGSTOP");
    return times;
  };
  const burner = start("burner", [process.execPath, "-e", "for (;;);"]);
  const flooder = start("flooder", [process.execPath, join(import.meta.dirname, "proxy/flood.ts")]);
  await pause(1000);
  for (const child of [burner, flooder]) child.kill("SIGSTOP");
  const samples = await interleave(
    { alone: block, busy: beside(burner), flooded: beside(flooder) },
    { warmup: 1, measured: quick ? 1 : 10 },
  );
  const figures = (times: number[]) => ({ p50: rounded(percentile(times, 0.5)), p95: rounded(percentile(times, 0.95)) });
  return { alone: figures(samples.alone), busy: figures(samples.busy), flooded: figures(samples.flooded) };
}

function prepareNames(directory: string): void {
  const hosts = join(directory, "hosts");
  writeFileSync(hosts, `127.0.0.1 localhost\n${originAddress} ${originName}\n`);
  runOrThrow("mount", ["--bind", hosts, "/etc/hosts"]);
  ip([`address add ${originAddress}/32 dev lo`]);
  // Thousands of connections a second to one address: without this the ports run out, for every proxy alike.
  writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
  writeFileSync("/proc/sys/net/ipv4/tcp_max_tw_buckets", "1000");
}

function started(
  children: DisposableStack,
  { name, command, directory }: { name: string; command: [string, ...string[]]; directory: string },
): ChildProcess {
  const log = openSync(join(directory, `${name.replaceAll(/[ ,]+/g, "-")}.log`), "a");
  const child = spawn(command[0], command.slice(1), { stdio: ["ignore", log, log] });
  closeSync(log);
  children.defer(() => void child.kill("SIGKILL"));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await event(child, "exit");
}

async function listening(host: string, port: number): Promise<void> {
  await until(`something listening on ${host}:${port}`, 10_000, async () => {
    const socket = createConnection({ host, port });
    return await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    }).finally(() => socket.destroy());
  });
}
