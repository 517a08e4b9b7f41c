import { isFault, type Name, parseName } from "../../base/names.ts";
import { prefixFamily, prefixRange } from "../../base/prefix.ts";
import { nearest } from "../nearest.ts";
import { networkSpec, type NetworkSpec } from "../network.ts";
import { check } from "../problems.ts";
import { hashed } from "./hash.ts";
import { type Context, type Part, partFault, present } from "./context.ts";
import { type NetworkEntry, networkEntry } from "./network-schema.ts";
import { madeName } from "./names.ts";
import type { ProjectNetwork } from "./project.ts";

/** A network of the file with its place, for what is checked across guests. */
export type NetworkPart = Part & { network: ProjectNetwork };

/** Keys of the daemon's spec under other names in the file. */
const writtenAs: Readonly<Record<string, string>> = { subnets: "subnet" };

/** The networks by their names in the file. One with faults is left out; they are told. */
export function buildNetworks(context: Context, parts: ReadonlyMap<string, Part>): Map<string, NetworkPart> {
  const entries = new Map<string, { part: Part; entry: NetworkEntry; whole: boolean }>();
  for (const [key, part] of parts) {
    const checked = context.faults.check(networkEntry, part.tree, part.path);
    if (checked !== undefined) entries.set(key, { part: { ...part, tree: checked.tree }, entry: checked.value, whole: checked.whole });
  }
  const peers = peersOf(context, entries);
  const built = new Map<string, NetworkPart>();
  for (const [key, { part, entry, whole }] of entries) {
    const name = nameOf(context, part, { key, entry });
    if (name === undefined) continue;
    const twin = [...built.values()].find((one) => one.network.name === name);
    if (twin !== undefined) partFault(context, part, { at: ["name"], problem: `another network of this file is called "${name}" too` });
    const spec = entry.external || !whole ? undefined : specOf(context, part, { key, entry, name, peers: peers.get(key) ?? [] });
    if (entry.external) refuseOwn(context, part);
    // Of one with faults nothing is known that addresses could be judged by.
    if (!whole) built.set(key, { ...part, network: { name, spec: undefined } });
    else if (spec !== undefined || entry.external) built.set(key, { ...part, network: { name, spec } });
  }
  refuseOverlaps(context, [...built.values()]);
  return built;
}

type Named = { key: string; entry: NetworkEntry };

function nameOf(context: Context, part: Part, { key, entry }: Named): Name | undefined {
  const name = entry.name ?? parseName(entry.external ? key : `${context.project}-${key}`);
  if (!isFault(name)) return name;
  const plain = isFault(parseName(key));
  partFault(context, part, {
    at: [],
    problem: plain ? (parseName(key) as { fault: string }).fault : `with the project's name before it: ${name.fault}`,
    hint: plain ? (madeName(key) === undefined ? undefined : `write ${madeName(key)}`) : "give it a shorter one by name",
  });
  return undefined;
}

/**
 * Who talks to whom, by the daemon's names. A pair stands at the later of its two networks, whoever asked: that one can be made when the
 * other is there.
 */
function peersOf(context: Context, entries: ReadonlyMap<string, { part: Part; entry: NetworkEntry }>): Map<string, string[]> {
  const order = [...entries.keys()];
  const pairs = new Map<string, Set<string>>();
  for (const [key, { part, entry }] of entries) {
    for (const [i, peer] of entry.peers.entries()) {
      const other = entries.get(peer)?.entry;
      if (other === undefined || peer === key) {
        const meant = nearest(peer, order);
        const problem = peer === key ? "a network is no peer of its own" : `there is no network "${peer}" in this file`;
        partFault(context, part, {
          at: ["peers", i],
          problem,
          hint: meant === undefined || peer === key ? undefined : `did you mean ${meant}?`,
        });
        continue;
      }
      const later = other.external || (!entry.external && order.indexOf(peer) < order.indexOf(key)) ? key : peer;
      const earlier = later === key ? peer : key;
      pairs.set(later, (pairs.get(later) ?? new Set()).add(earlier));
    }
  }
  const nameOfPeer = (key: string): string => {
    const entry = entries.get(key)?.entry;
    return entry?.name ?? (entry?.external === true ? key : `${context.project}-${key}`);
  };
  return new Map([...pairs].map(([key, others]) => [key, order.filter((one) => others.has(one)).map(nameOfPeer)]));
}

/** An external network is as it is. */
function refuseOwn(context: Context, part: Part): void {
  for (const key of part.tree.entries.keys())
    if (key !== "external" && key !== "name" && !key.startsWith("x-"))
      partFault(context, part, {
        at: [key],
        onKey: true,
        problem: "an external network has only a name: it is there already",
        hint: "leave out external to have it made",
      });
}

function specOf(
  context: Context,
  part: Part,
  { key, entry, name, peers }: Named & { name: Name; peers: string[] },
): NetworkSpec | undefined {
  const { subnet, gateway, subnets } = entry;
  if (subnet !== undefined && subnets !== undefined)
    partFault(context, part, { at: ["subnet"], onKey: true, problem: "subnet and subnets are both given" });
  if (gateway !== undefined && (subnet === undefined || subnet === "auto"))
    partFault(context, part, { at: ["gateway"], problem: "a gateway needs its subnet: name it in CIDR notation" });
  const ranges = subnets ?? [subnet === undefined || subnet === "auto" ? "auto" : { prefix: subnet, ...present({ gateway }) }];
  const { bridge, ipv6, mtu, dns, nat, isolation, internal, dhcp, egress, labels } = entry;
  const wanted = present({ name, bridge, subnets: ranges, ipv6, mtu, dns, nat, isolation, internal, dhcp, peers, egress });
  refuseOwnLabels(context, part, labels);
  const own = { "nexus.project": context.project, "nexus.directory": context.directory, "nexus.network": key };
  const result = check(networkSpec, { ...wanted, labels: { ...labels, ...own } });
  if ("value" in result) return hashed(result.value);
  for (const { at, problem, hint } of result.problems) {
    const [first, ...rest] = at;
    const here =
      first === "subnets" && subnets === undefined ? [writtenAs["subnets"] ?? "subnet"] : first === undefined ? [] : [first, ...rest];
    partFault(context, part, { at: here, problem, hint });
  }
  return undefined;
}

export function refuseOwnLabels(context: Context, part: Part, labels: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(labels))
    if (key.startsWith("nexus."))
      partFault(context, part, { at: ["labels", key], onKey: true, problem: "labels that begin with nexus. are Nexus's own" });
}

/** In the order of their addresses, so that each range is compared with one. */
function refuseOverlaps(context: Context, parts: readonly NetworkPart[]): void {
  const ranges = parts
    .flatMap((part, order) =>
      (part.network.spec?.subnets ?? []).flatMap((subnet, i) =>
        subnet === "auto"
          ? []
          : [{ part, order, i, prefix: subnet.prefix, family: prefixFamily(subnet.prefix), ...prefixRange(subnet.prefix) }],
      ),
    )
    .toSorted((a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : a.order - b.order));
  let before = ranges[0];
  for (const range of ranges.slice(1)) {
    if (before !== undefined && before.family === range.family && before.last >= range.first) {
      const [first, second] = before.order <= range.order ? [before, range] : [range, before];
      const at = second.part.tree.entries.has("subnet") ? ["subnet"] : ["subnets", second.i];
      partFault(context, second.part, { at, problem: `${second.prefix} overlaps ${first.prefix} of ${first.part.path.join(".")}` });
    }
    if (before === undefined || before.family !== range.family || range.last > before.last) before = range;
  }
}
