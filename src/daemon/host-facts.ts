import type { Host } from "../apply/host.ts";
import { isDirect, readLinks } from "../apply/observe.ts";
import { NexusError } from "../base/errors.ts";
import { type Cidr, networkOf } from "../base/prefix.ts";
import { listAddresses } from "../kernel/addresses.ts";
import { findLinkIndex, getLink } from "../kernel/links.ts";
import { listRoutes } from "../kernel/routes.ts";
import { groupOf } from "../plan/group.ts";
import { gatewayCidrs, mtuOf } from "../plan/network.ts";
import { foreignBridge } from "../plan/plan.ts";
import type { NetworkRecord } from "../plan/records.ts";
import { isOurTable } from "../plan/firewall/ruleset.ts";
import type { World } from "./world.ts";

/** Small questions about the host beside what should be there: for watches, and for explaining. */
export class HostFacts {
  readonly #o: { world: World; host: Host; uplinkMtuBytes: () => number };

  /** Indexes of bridges that were found to be ours, by name. */
  readonly #proven = new Map<string, number>();

  constructor(options: { world: World; host: Host; uplinkMtuBytes: () => number }) {
    this.#o = options;
  }

  /** What a link of ours should be; undefined for any other link. */
  expected(name: string): { mtuBytes: number; group: number } | undefined {
    const network = this.#o.world.networkOfLink(name);
    return network === undefined
      ? undefined
      : { mtuBytes: mtuOf(network, { uplinkMtuBytes: this.#o.uplinkMtuBytes() }), group: groupOf(network.index) };
  }

  /** Whether a link that should be there is there and as it should be; a closer look is the reconcile's. */
  isLinkRight(name: string): boolean {
    const wanted = this.expected(name);
    const network = this.#o.world.networkOfLink(name);
    if (wanted === undefined || network === undefined) return true;
    const { route } = this.#o.host;
    const link = getLink(route, name);
    if (link === undefined || !link.up || link.mtuBytes !== wanted.mtuBytes || link.group !== wanted.group) return false;
    if (network.bridge !== name) return link.master !== undefined && getLink(route, link.master)?.name === network.bridge;
    const present = listAddresses(route, { link: link.index }).map((a) => a.cidr);
    const routed = listRoutes(route, { link: link.index }).flatMap((r) => (isDirect(r) ? [r.destination] : []));
    return gatewayCidrs(network).every((cidr) => present.includes(cidr) && routed.includes(networkOf(cidr)));
  }

  /** @throws NexusError bridge-foreign */
  checkBridge(network: NetworkRecord): void {
    const problem = foreignBridge(network, getLink(this.#o.host.route, network.bridge));
    if (problem !== undefined)
      throw new NexusError("bridge-foreign", problem, {
        hint: `nexus network create ${network.name} --bridge NAME`,
        details: { bridge: network.bridge },
      });
  }

  /** Before a link joins it: a bridge that somebody put in the place of ours has its name, and another index. @throws NexusError bridge-foreign */
  proveBridge(network: NetworkRecord): void {
    const index = findLinkIndex(this.#o.host.route, network.bridge);
    if (index === undefined || this.#proven.get(network.bridge) === index) return;
    this.checkBridge(network);
    this.#proven.set(network.bridge, index);
  }

  /** The bridge of ours with that index. */
  bridgeOf(index: number): string | undefined {
    const name = getLink(this.#o.host.route, index)?.name;
    return name !== undefined && this.#o.world.networkOfLink(name)?.bridge === name ? name : undefined;
  }

  /** Every address of the host, gateways included. */
  hostAddresses(): Cidr[] {
    return readLinks(this.#o.host.route).links.flatMap((link) => link.addresses);
  }

  /** Other programs' chains that may drop what ours accept, in words. */
  foreignDrops(): string[] {
    return this.#o.host.firewall
      .listBaseChains()
      .filter((chain) => chain.hook === "forward" && !isOurTable(chain) && (chain.policy === "drop" || chain.end !== undefined))
      .map(
        (chain) =>
          `${chain.products.join(", ") || "another program"} (chain ${chain.family} ${chain.table} ${chain.name}, ${chain.end === undefined ? "policy drop" : `ends in ${chain.end}`})`,
      );
  }
}
