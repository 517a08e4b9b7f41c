import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type IfName, parseIfName } from "../src/base/names.ts";
import { inNetns, openNamespace } from "../src/kernel/namespaces.ts";
import { Firewall } from "../src/kernel/firewall.ts";
import { groupOf } from "../src/plan/group.ts";
import { benchClients, bridge, clientsRuleset, gateway, port } from "./dhcp-clients.ts";
import { Storm, type StormResult } from "./dhcp-storm.ts";
import { isInside, runInside } from "./inside.ts";
import { percentile, rounded } from "./measure.ts";
import { ip } from "./program.ts";
import { load } from "./ruleset/load.ts";
import type { Benchmark } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * DISCOVER, OFFER, REQUEST, ACK of clients with MACs of their own behind one bridge port: one after another, 64 at a time,
 * and 1,000 all at once; against dnsmasq on the same bridge with the same clients known, its leases not kept on disk. What the
 * clients say passes the daemon's own ruleset, which knows each of them as a guest.
 */
export const run: Benchmark = async ({ quick }) => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-bench-dhcp-"));
  makeBridge();
  using firewall = Firewall.open();
  load(firewall, clientsRuleset(clients));
  using namespace = openNamespace("/run/netns/clients");
  using storm = inNetns(namespace, () => new Storm(parseIfName("eth0") as IfName));
  try {
    const samples: Record<Contestant, Sample[]> = { nexus: [], dnsmasq: [] };
    const rounds = quick ? 1 : 5;
    for (let round = 0; round < rounds; round++) {
      const order: Contestant[] = round % 2 === 0 ? ["nexus", "dnsmasq"] : ["dnsmasq", "nexus"];
      for (const name of order) {
        progress(`${name}, round ${round + 1} of ${rounds}`);
        samples[name].push(await measure(storm, () => start(name, directory)));
      }
    }
    return report(samples);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

type Contestant = "nexus" | "dnsmasq";
type Sample = { single: StormResult; steady: StormResult; storm: StormResult };

const clients = benchClients(1000);

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } } });
  if (!isInside()) process.exitCode = await runInside(import.meta.filename, process.argv.slice(2), 300_000);
  else {
    const figures = await run(values);
    if (values.json) console.log(JSON.stringify(figures));
  }
}

function makeBridge(): void {
  ip([`link add ${bridge} address 02:00:00:00:00:01 type bridge`, `addr add ${gateway}/16 dev ${bridge}`, `link set ${bridge} up`]);
  ip(["netns add clients"]);
  ip([
    `link add ${port} type veth peer name eth0 netns clients`,
    `link set ${port} group ${groupOf(1)}`,
    `link set ${port} master ${bridge} up`,
  ]);
  ip(["link set eth0 up"], "clients");
}

function start(name: Contestant, directory: string): ChildProcess {
  if (name === "nexus")
    return spawn(process.execPath, [join(import.meta.dirname, "dhcp-server.ts"), String(clients.length)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  const hosts = join(directory, "dhcp-hosts");
  writeFileSync(hosts, clients.map((client) => `${client.mac},${client.address},${client.hostname}\n`).join(""));
  const where = [`--interface=${bridge}`, "--bind-interfaces", "--except-interface=lo", "--port=0"];
  const what = ["--dhcp-range=10.64.0.0,static,255.255.0.0", `--dhcp-hostsfile=${hosts}`, "--dhcp-lease-max=100000", "--domain=lan.nexus"];
  const quiet = [
    "--leasefile-ro",
    "--no-ping",
    "--dhcp-authoritative",
    "--quiet-dhcp",
    "--user=root",
    "--pid-file=",
    "--log-facility=/dev/null",
  ];
  return spawn("dnsmasq", ["--keep-in-foreground", "--conf-file=/dev/null", ...where, ...what, ...quiet], { stdio: "inherit" });
}

async function measure(storm: Storm, begin: () => ChildProcess): Promise<Sample> {
  const child = begin();
  try {
    // Whoever is first also warms the server up; its repeats wait until the server is there.
    storm.run(clients.slice(0, 1), { window: 1, deadlineMs: 20_000 });
    return {
      storm: storm.run(clients, { window: clients.length, deadlineMs: 30_000 }),
      single: storm.run(clients.slice(0, 300), { window: 1, deadlineMs: 30_000 }),
      steady: storm.run([...clients, ...clients, ...clients], { window: 64, deadlineMs: 60_000 }),
    };
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
}

function report(samples: Record<Contestant, Sample[]>): Record<string, unknown> {
  const figures = Object.fromEntries(Object.entries(samples).map(([name, of]) => [name, summary(of)])) as Record<Contestant, Summary>;
  printTable(
    "DHCP: DISCOVER to ACK",
    ["server", "per second", "p50 ms", "p99 ms", "1,000 at once: s", "served", "asked again", "wrong"],
    Object.entries(figures).map(([name, f]) => [name, f.perSecond, f.p50, f.p99, f.stormSeconds, f.stormServed, f.repeats, f.wrong]),
  );
  const { nexus, dnsmasq } = figures;
  return {
    dora_per_second: nexus.perSecond,
    p50_ms: nexus.p50,
    p99_ms: nexus.p99,
    storm_clients: clients.length,
    storm_served: nexus.stormServed,
    storm_seconds: nexus.stormSeconds,
    wrong: nexus.wrong,
    repeats: nexus.repeats,
    dnsmasq_dora_per_second: dnsmasq.perSecond,
    dnsmasq_p50_ms: dnsmasq.p50,
    dnsmasq_storm_seconds: dnsmasq.stormSeconds,
    rate_ratio: rounded(nexus.perSecond / dnsmasq.perSecond),
    latency_ratio: rounded(nexus.p50 / dnsmasq.p50),
  };
}

type Summary = Record<"perSecond" | "p50" | "p99" | "stormSeconds" | "stormServed" | "repeats" | "wrong", number>;

/** Medians of the rounds; the worst of them for the storm, and sums of what went wrong. */
function summary(samples: readonly Sample[]): Summary {
  const middle = (of: (sample: Sample) => number) => rounded(percentile(samples.map(of), 0.5));
  const all = samples.flatMap(({ single, steady, storm }) => [single, steady, storm]);
  const total = (of: (result: StormResult) => number) => all.reduce((sum, result) => sum + of(result), 0);
  return {
    perSecond: middle(({ steady }) => steady.served / steady.seconds),
    p50: middle(({ single }) => percentile(single.latenciesMs, 0.5)),
    p99: middle(({ single }) => percentile(single.latenciesMs, 0.99)),
    stormSeconds: rounded(Math.max(...samples.map(({ storm }) => storm.seconds))),
    stormServed: Math.min(...samples.map(({ storm }) => storm.served)),
    repeats: total((result) => result.repeats),
    wrong: total((result) => result.wrong),
  };
}
