import { isIpv4 } from "../base/ip.ts";
import type { Ipv6 } from "../base/ipv6.ts";
import type { Name } from "../base/names.ts";
import { attachmentGateways } from "../plan/attachment.ts";
import { peersOf } from "../plan/firewall/elements.ts";
import { mtuOf } from "../plan/network.ts";
import { isPrimary } from "../plan/plan.ts";
import type { DhcpNetwork } from "../services/dhcp/network.ts";
import type { DhcpServer } from "../services/dhcp/server.ts";
import type { RaNetwork } from "../services/ra/network.ts";
import type { RaServer } from "../services/ra/server.ts";
import type { GuestRecord, NetworkRow } from "../state/rows.ts";
import { attachmentsOf, type World } from "./world.ts";

export type AddressingOptions = {
  dhcp: DhcpServer;
  ra: RaServer;
  world: World;
  /** Names of networks lie in it: `lan.nexus`. */
  domain: string;
  uplinkMtuBytes: () => number;
  /** Told when addresses cannot be handed out on a network, and when they can again. */
  onProblem: (network: Name, problem: string | undefined) => void;
};

/**
 * Tells virtual machines the addresses that were decided for them: by DHCP, and by router advertisements with DHCPv6. A network is
 * served while a virtual machine is on it; containers have their addresses set from outside and ask nobody.
 */
export class Addressing {
  readonly #o: AddressingOptions;

  constructor(options: AddressingOptions) {
    this.#o = options;
  }

  /** Also when a network changed, or its bridge may have been made anew. */
  networkChanged(network: NetworkRow, present: boolean): void {
    const { dhcp, ra } = this.#o;
    const wanted = present && network.spec.dhcp && this.#clientsOn(network.name).length > 0;
    if (!wanted) {
      dhcp.removeNetwork(network.name);
      ra.removeNetwork(network.name);
      return this.#o.onProblem(network.name, undefined);
    }
    try {
      if (network.subnets.some((s) => isIpv4(s.gateway))) dhcp.setNetwork(this.#dhcpNetwork(network));
      if (network.subnets.some((s) => !isIpv4(s.gateway))) ra.setNetwork(this.#raNetwork(network));
      this.#o.onProblem(network.name, undefined);
    } catch (error) {
      this.#o.onProblem(network.name, `addresses cannot be handed out: ${error instanceof Error ? error.message : String(error)}`);
    }
    for (const guest of this.#clientsOn(network.name)) this.#introduce(guest);
  }

  guestChanged(guest: GuestRecord, live: boolean): void {
    if (guest.kind !== "vm") return;
    for (const attachment of attachmentsOf(guest)) {
      const network = this.#o.world.networks.get(attachment.network);
      if (network === undefined) continue;
      if (!live) {
        this.#o.dhcp.removeGuest(network.name, attachment);
        this.#o.ra.removeGuest(network.name, attachment);
      }
      this.networkChanged(network, true);
    }
  }

  /** Opens again what was closed or could not be opened: bridges come and go. */
  retry(): void {
    for (const network of this.#o.world.networks.values()) this.networkChanged(network, true);
  }

  #clientsOn(network: Name): GuestRecord[] {
    const { live, guests } = this.#o.world;
    return [...live].flatMap((name) => {
      const guest = guests.get(name);
      return guest?.kind === "vm" && guest.attachments.some((a) => a.network === network) ? [guest] : [];
    });
  }

  #introduce(guest: GuestRecord): void {
    const { world, dhcp, ra } = this.#o;
    const attachments = attachmentsOf(guest);
    const desired = { networks: [...world.networks.values()], attachments };
    for (const attachment of attachments) {
      const network = world.networks.get(attachment.network);
      if (network === undefined) continue;
      const primary = isPrimary(attachment, desired);
      const defaultRoute = attachmentGateways({ attachment, network, primary }).length > 0;
      const { mac } = attachment;
      const address4 = attachment.addresses.find(isIpv4);
      const address6 = attachment.addresses.find((address): address is Ipv6 => !isIpv4(address));
      const hostname = (guest.kind === "vm" ? guest.spec.hostname : undefined) ?? guest.name;
      if (address4 !== undefined) dhcp.addGuest(network.name, { mac, address: address4, hostname, defaultRoute });
      ra.addGuest(network.name, { mac, defaultRoute, ...(address6 === undefined ? {} : { address: address6 }) });
    }
  }

  #dhcpNetwork(network: NetworkRow): DhcpNetwork {
    const subnets = network.subnets.flatMap(({ prefix, gateway }) => (isIpv4(gateway) ? [{ prefix, gateway }] : []));
    const router = subnets[0]?.gateway;
    const routes = this.#peerPrefixes(network).flatMap(({ prefix, gateway }) =>
      isIpv4(gateway) && router !== undefined ? [{ destination: prefix, via: router }] : [],
    );
    return { ...this.#common(network), subnets, routes };
  }

  #raNetwork(network: NetworkRow): RaNetwork {
    const subnets = network.subnets.flatMap(({ prefix, gateway }) => (isIpv4(gateway) ? [] : [{ prefix, gateway }]));
    const routes = this.#peerPrefixes(network).flatMap(({ prefix, gateway }) => (isIpv4(gateway) ? [] : [prefix]));
    return { ...this.#common(network), subnets, routes, addressing: "stateful" };
  }

  #common(network: NetworkRow) {
    const { domain, uplinkMtuBytes } = this.#o;
    return {
      network: network.name,
      bridge: network.bridge,
      domain: `${network.name}.${domain}`,
      mtuBytes: mtuOf(network, { uplinkMtuBytes: uplinkMtuBytes() }),
      defaultRoute: !network.spec.internal,
      leaseSeconds,
    };
  }

  #peerPrefixes(network: NetworkRow): NetworkRow["subnets"] {
    return peersOf(network, [...this.#o.world.networks.values()]).flatMap((peer) => peer.subnets);
  }
}

/** Clients ask again after half of it; the address stays theirs either way. */
const leaseSeconds = 3600;
