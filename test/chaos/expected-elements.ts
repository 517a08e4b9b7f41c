import type { GuestView, NetworkView } from "../../src/spec/views.ts";
import type { Ruleset } from "./host.ts";

/** Elements of our sets as text: what `nft` lists, and what networks and guests as the API shows them ought to give. */

export function listedElements(ruleset: Ruleset): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const object of ruleset) {
    const set = object["set"] ?? object["map"];
    if (set?.["table"] !== "nexus") continue;
    const elements = (set["elem"] as unknown[] | undefined) ?? [];
    found.set(`${String(set["family"])} ${String(set["name"])}`, elements.map(elementText).toSorted());
  }
  return found;
}

export function expectedElements(networks: readonly NetworkView[], guests: readonly GuestView[]): Map<string, string[]> {
  const sets = new Map<string, string[]>();
  const add = (set: string, ...elements: string[]) => sets.set(set, [...(sets.get(set) ?? []), ...elements].toSorted());
  for (const network of networks) {
    for (const { prefix } of network.subnets) {
      const family = familyOf(prefix);
      add(`inet ours${family}`, prefix);
      if (network.nat && !network.internal) add(`inet nat${family}`, prefix);
      if (!network.internal) add(`inet hairpin${family}`, `${prefix} . ${prefix}`);
    }
    const reachable = [network, ...networks.filter((other) => network.peers.includes(other.name))];
    for (const other of reachable)
      for (const { gateway } of other.subnets) add(`inet gateway${familyOf(gateway)}`, `${network.bridge} . ${gateway}`);
    for (const other of reachable) if (other !== network) add("inet peers", `${network.bridge} . ${other.bridge}`);
    add(network.isolation === "none" ? "inet peers" : "inet apart", `${network.bridge} . ${network.bridge}`);
    if (network.internal) add("inet internal", network.bridge);
  }
  const internal = new Set(networks.filter((n) => n.internal).map((n) => n.name));
  for (const guest of guests) {
    for (const nic of guest.attachments) {
      const addresses = nic.addresses.map((cidr) => cidr.replace(/\/.*/, ""));
      add("bridge mac", `${nic.hostInterface} . ${nic.mac}`);
      for (const address of addresses) add(`bridge source${familyOf(address)}`, `${nic.hostInterface} . ${nic.mac} . ${address}`);
    }
    const target = guest.attachments.find((a) => !internal.has(a.network));
    for (const cidr of target?.addresses ?? []) {
      const address = cidr.replace(/\/.*/, "");
      const family = familyOf(address);
      for (const p of guest.publish) {
        if (p.hostAddress !== undefined && familyOf(p.hostAddress) !== family) continue;
        const at = p.hostAddress === undefined ? "" : `${p.hostAddress} . `;
        const name = p.hostAddress === undefined ? "publish" : "publish_at";
        const last = p.hostPortEnd ?? p.hostPort;
        if (last > p.hostPort && p.hostPort === p.guestPort)
          add(`inet ${name}_range${family}`, `${at}${p.protocol} . ${p.hostPort}-${last} : ${address}`);
        else
          for (let port: number = p.hostPort; port <= last; port++)
            add(`inet ${name}${family}`, `${at}${p.protocol} . ${port} : ${address} . ${p.guestPort + port - p.hostPort}`);
      }
    }
  }
  return sets;
}

/** Sets whose elements are compared whole; of the others it is enough that nothing in them belongs to nobody. */
export const comparedSets = [
  "inet ours",
  "inet nat",
  "inet hairpin",
  "inet gateway",
  "inet publish",
  "inet publish_range",
  "inet publish_at",
  "inet publish_at_range",
  "bridge source",
]
  .flatMap((name) => [`${name}4`, `${name}6`])
  .concat("inet peers", "inet apart", "inet internal", "bridge mac");

/** Comments of elements, which name their owner. */
export function owners(ruleset: Ruleset): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value))
      if (key === "comment" && typeof inner === "string") found.add(inner);
      else visit(inner);
  };
  for (const object of ruleset) {
    const set = object["set"] ?? object["map"];
    if (set?.["table"] === "nexus") visit(set["elem"]);
  }
  return found;
}

function elementText(element: unknown): string {
  if (Array.isArray(element)) return `${valueText(element[0])} : ${valueText(element[1])}`;
  return valueText(element);
}

function valueText(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const { elem, val, concat, prefix, range } = value as {
    elem?: { val: unknown };
    val?: unknown;
    concat?: unknown[];
    prefix?: { addr: string; len: number };
    range?: unknown[];
  };
  if (elem !== undefined) return valueText(elem.val);
  if (val !== undefined) return valueText(val);
  if (concat !== undefined) return concat.map(valueText).join(" . ");
  if (prefix !== undefined) return `${prefix.addr}/${prefix.len}`;
  if (range !== undefined) return range.map(String).join("-");
  return JSON.stringify(value);
}

function familyOf(text: string): 4 | 6 {
  return text.includes(":") ? 6 : 4;
}
