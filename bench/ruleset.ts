import { interleave, median, rounded, timed } from "./measure.ts";
import { loadNexusRuleset } from "./ruleset/load.ts";
import { netavarkShape } from "./ruleset/netavark-shape.ts";
import { nexusShape } from "./ruleset/nexus-shape.ts";
import { scale } from "./ruleset/scale.ts";
import { type Host, inside, makeHost } from "./ruleset/topology.ts";
import type { BenchmarkOptions } from "./run.ts";
import { printTable, progress } from "./table.ts";

/**
 * What a large ruleset costs the packets of one guest in its middle: one TCP stream out through NAT, and new connections in through a published port.
 * Four equal hosts stand side by side, so that only the rules differ: none at all, ours with nothing in it but this guest (the empty ruleset: the least that
 * hides and publishes), ours with 5,000 networks and 60,000 ports, and as many in netavark's shape. Without any rules there is no connection tracking
 * either and connections go straight to the guest: what NAT costs anybody, whatever the number of networks.
 */
export async function run(options: BenchmarkOptions): Promise<Record<string, unknown>> {
  using none = await makeHost("none");
  using empty = await makeHost("empty");
  using nexus = await makeHost("nexus");
  using netavark = await makeHost("netavark");
  const all = Array.from({ length: scale.networks }, (_, i) => i);

  progress(`loading ${scale.networks} networks and ${scale.networks * scale.portsEach} published ports, ours and in netavark's shape`);
  using _empty = loadNexusRuleset(empty.router, nexusShape([scale.measured]));
  let loaded: Disposable | undefined;
  const nexusLoad = await timed(() => (loaded = loadNexusRuleset(nexus.router, nexusShape(all))));
  using _large = loaded;
  const netavarkLoad = await timed(() => inside(netavark.router, "nft", ["-f", "-"], netavarkShape(scale.networks)));

  const rounds = { warmup: 1, measured: options.quick ? 3 : 21 };
  progress("throughput, interleaved");
  const throughput = await interleave(
    each({ none, empty, nexus, netavark }, (host) => host.throughput(1000) / 1e9),
    rounds,
  );
  progress("new connections, interleaved");
  const connections = await interleave(
    each({ none, empty, nexus, netavark }, (host) => host.connections(400, host === none ? "direct" : "published")),
    rounds,
  );

  const stream = { each: medians(throughput), to: (shape: Shape, base: Shape) => pairedRatio(throughput[shape], throughput[base]) };
  const opened = { each: medians(connections), to: (shape: Shape, base: Shape) => pairedRatio(connections[shape], connections[base]) };
  const row = (what: string, shape: Shape, loadMs: number | string) => [
    what,
    stream.each[shape],
    percent(stream.to(shape, "empty")),
    opened.each[shape],
    percent(opened.to(shape, "empty")),
    loadMs,
  ];
  printTable(
    `ruleset: ${scale.networks} networks, ${scale.networks * scale.portsEach} published ports`,
    ["ruleset", "Gbit/s", "beside empty", "connections/s", "beside empty", "load ms"],
    [
      row("no rules, no NAT, no connection tracking", "none", ""),
      row("empty: nexus with this guest alone", "empty", ""),
      row("nexus, all of them", "nexus", nexusLoad),
      row("netavark-shaped, all of them", "netavark", netavarkLoad),
    ],
  );
  return {
    throughput_ratio: rounded(stream.to("nexus", "empty")),
    connections_ratio: rounded(opened.to("nexus", "empty")),
    netavark_throughput_ratio: rounded(stream.to("netavark", "empty")),
    netavark_connections_ratio: rounded(opened.to("netavark", "empty")),
    throughput_ratio_no_rules: rounded(stream.to("nexus", "none")),
    connections_ratio_no_rules: rounded(opened.to("nexus", "none")),
    none_gbit: rounded(stream.each.none),
    nexus_gbit: rounded(stream.each.nexus),
    netavark_gbit: rounded(stream.each.netavark),
    none_connections: rounded(opened.each.none),
    nexus_connections: rounded(opened.each.nexus),
    netavark_connections: rounded(opened.each.netavark),
    nexus_load_ms: rounded(nexusLoad),
    netavark_load_ms: rounded(netavarkLoad),
    networks: scale.networks,
    ports: scale.networks * scale.portsEach,
  };
}

type Shape = "none" | "empty" | "nexus" | "netavark";

function each(hosts: Record<Shape, Host>, measure: (host: Host) => number): Record<Shape, () => Promise<number>> {
  const contestant = (shape: Shape) => async () => measure(hosts[shape]);
  return { none: contestant("none"), empty: contestant("empty"), nexus: contestant("nexus"), netavark: contestant("netavark") };
}

/** Median over the rounds of what one had beside the other in the same round: what the machine does meanwhile falls on both. */
function pairedRatio(samples: readonly number[], base: readonly number[]): number {
  return median(samples.map((value, round) => value / (base[round] ?? Number.NaN)));
}

function percent(ratio: number): string {
  return `${rounded(ratio * 100)} %`;
}

function medians(samples: Record<Shape, number[]>): Record<Shape, number> {
  return { none: median(samples.none), empty: median(samples.empty), nexus: median(samples.nexus), netavark: median(samples.netavark) };
}
