import type { Ip } from "../../base/ip.ts";
import type { Mac } from "../../base/mac.ts";
import { addressAt, prefixContains, prefixFamily, prefixLength, prefixRange } from "../../base/prefix.ts";
import type { VmNetwork } from "../vm.ts";
import { reservedOf } from "../network.ts";
import type { GuestPart } from "./build-guest.ts";
import type { NetworkPart } from "./build-networks.ts";
import { type Context, partFault } from "./context.ts";
import { guestsOf, type Project, type ProjectGuest } from "./project.ts";

/** Tells addresses that are outside their network, not a guest's to have, or asked for twice; and doubled MAC addresses. */
export function checkAddresses(
  context: Context,
  project: Project,
  around: { parts: ReadonlyMap<string, GuestPart>; networks: ReadonlyMap<string, NetworkPart> },
): void {
  const networks = new Map([...around.networks].map(([key, part]) => [part.network.name, { key, part }]));
  const holders = new Map<string, ProjectGuest>();
  for (const guest of guestsOf(project)) {
    const part = around.parts.get(guest.service);
    const wishes: readonly VmNetwork[] = guest.spec.networks ?? [];
    for (const wish of wishes) {
      const network = networks.get(wish.network);
      if (part === undefined || network === undefined) continue;
      const values: [names: string[], value: Ip | Mac | undefined][] = [
        [["address", "ipv4_address"], wish.address],
        [["address6", "ipv6_address"], wish.address6],
        [["mac", "mac_address"], wish.mac],
      ];
      for (const [names, value] of values) {
        if (value === undefined) continue;
        const at = pathOf(part, network.key, names);
        const tell = (problem: string, hint?: string): void => partFault(context, part, { at, problem, hint });
        const holder = holders.get(`${wish.network} ${value}`);
        if (holder !== undefined) tell(`${value} is the address of ${holder.service} already`);
        else holders.set(`${wish.network} ${value}`, guest);
        if (value !== wish.mac) judge(value as Ip, network, tell);
      }
    }
  }
}

function judge(address: Ip, { key, part }: { key: string; part: NetworkPart }, tell: (problem: string, hint?: string) => void): void {
  const { spec } = part.network;
  // Of an external network nothing is known here; the daemon says.
  if (spec === undefined) return;
  const family = address.includes(":") ? 6 : 4;
  const chosen = spec.subnets.filter((subnet) => subnet !== "auto").filter((subnet) => prefixFamily(subnet.prefix) === family);
  const subnet = chosen.find((one) => prefixContains(one.prefix, address));
  if (subnet === undefined) {
    const ranges = chosen.map((one) => one.prefix).join(", ");
    if (ranges === "")
      tell(`network ${key} has no IPv${family} subnet of your choosing, so no address in it can be chosen`, `give ${key} a subnet`);
    else tell(`${address} is outside network ${key}, which has ${ranges}`);
    return;
  }
  const { first, last } = prefixRange(subnet.prefix);
  const gateway = ("gateway" in subnet ? subnet.gateway : undefined) ?? addressAt(subnet.prefix, first === last ? 0n : 1n);
  const ends =
    family === 4 && prefixLength(subnet.prefix) < 31 ? [addressAt(subnet.prefix, 0n), addressAt(subnet.prefix, last - first)] : [];
  if (address === gateway) tell(`${address} is the gateway of network ${key}`);
  else if (ends.includes(address)) tell(`${address} is an end of ${subnet.prefix}, which no guest can have`);
  else if (reservedOf(subnet).some((range) => prefixContains(range, address))) tell(`${address} is reserved in network ${key}`);
}

function pathOf(part: GuestPart, network: string, names: readonly string[]): string[] {
  const networks = part.tree.entries.get("networks")?.value;
  const wish = networks?.kind === "mapping" ? networks.entries.get(network)?.value : undefined;
  const name = names.find((one) => wish?.kind === "mapping" && wish.entries.has(one)) ?? names[0] ?? "";
  return ["networks", network, name];
}
