import { isFault, type Name, parseName } from "../base/names.ts";
import { peersOf } from "../plan/firewall/elements.ts";
import type { DnsServer } from "../services/dns/server.ts";
import type { GuestRecord as GuestRecordOfDns } from "../services/dns/zone.ts";
import type { GuestRecord, NetworkRow } from "../state/rows.ts";
import { attachmentsOf, type World } from "./world.ts";

/** Keeps the DNS in step with networks and guests: each network's gateways answer with what that network may see. */
export class Names {
  readonly #dns: DnsServer;
  readonly #world: World;
  /** Told also when there is none, or no longer one. */
  readonly #onProblem: (network: Name, problem: string | undefined) => void;
  readonly #listening = new Set<Name>();

  constructor(dns: DnsServer, world: World, onProblem: (network: Name, problem: string | undefined) => void) {
    this.#dns = dns;
    this.#world = world;
    this.#onProblem = onProblem;
  }

  networkChanged(network: NetworkRow, present: boolean): void {
    const gateways = network.subnets.map((s) => s.gateway);
    if (!present) {
      for (const gateway of gateways) this.#dns.unlisten(gateway);
      this.#dns.removeNetwork(network.name);
      this.#listening.delete(network.name);
      this.#onProblem(network.name, undefined);
      return;
    }
    const all = [...this.#world.networks.values()];
    this.#dns.setNetwork({
      network: network.name,
      prefixes: network.subnets.map((s) => s.prefix),
      gateways,
      visible: peersOf(network, all).map((n) => n.name),
      forward: !network.spec.internal,
    });
    this.#dns.setUpstreams(network.name, network.spec.dns);
    if (!this.#listening.has(network.name)) void this.#listen(network);
  }

  guestChanged(guest: GuestRecord, live: boolean): void {
    for (const attachment of attachmentsOf(guest)) {
      if (live) this.#dns.addGuest(attachment.network, { guest: guest.name, addresses: attachment.addresses, ...furtherNames(guest) });
      else this.#dns.removeGuest(attachment.network, guest.name);
    }
  }

  /** Tries again where listening failed before: whoever held the port may have gone. */
  retry(): void {
    for (const network of this.#world.networks.values()) if (!this.#listening.has(network.name)) void this.#listen(network);
  }

  async #listen(network: NetworkRow): Promise<void> {
    this.#listening.add(network.name);
    let problem: string | undefined;
    for (const { gateway } of network.subnets) {
      try {
        await this.#dns.listen({ address: gateway, network: network.name });
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
      }
    }
    // Removed meanwhile: then it was no failure.
    if (!this.#world.networks.has(network.name)) return;
    if (problem !== undefined) this.#listening.delete(network.name);
    this.#onProblem(network.name, problem);
  }
}

/** Beside its own: those it was given, and the one its compose project gives it. */
function furtherNames(guest: GuestRecord): Pick<GuestRecordOfDns, "aliases" | "project"> {
  if (guest.kind === "netns") return {};
  const { aliases, labels } = guest.spec;
  const [service, name] = [parseName(labels["nexus.service"] ?? ""), parseName(labels["nexus.project"] ?? "")];
  return { aliases, ...(isFault(service) || isFault(name) ? {} : { project: { service, name } }) };
}
