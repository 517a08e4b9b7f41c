import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../../base/clock.ts";
import { WireError } from "../../base/errors.ts";
import { type Ipv6, parseIpv6 } from "../../base/ipv6.ts";
import { type Log, silentLog } from "../../base/log.ts";
import type { Mac } from "../../base/mac.ts";
import type { Name } from "../../base/names.ts";
import type { ReceivedPacket } from "../../kernel/packet-socket.ts";
import { allDhcpServers, allRouters } from "../../kernel/port-hold.ts";
import { decodeDhcp6, dhcp6Port, dhcp6Type, duidOfMac, encodeDhcp6 } from "../../wire/dhcp6/message.ts";
import { decodeUdp6, encodeUdp6 } from "../../wire/dhcp6/udp6.ts";
import { decodeIpv6, type Ipv6Packet, nextHeader } from "../../wire/icmpv6/ipv6.ts";
import { decodeRouterSolicit, encodeRouterAdvert, icmp6Type } from "../../wire/icmpv6/router.ts";
import { BridgeListener } from "../dhcp/bridge-listener.ts";
import { Allowance } from "../dhcp/rate.ts";
import { advertFor, advertPauseMs } from "./advert.ts";
import { answerDhcp6 } from "./answer.ts";
import type { RaGuest, RaNetwork } from "./network.ts";

export type RaServerOptions = { log?: Log; clock?: Clock };

/** Counts since the start. `received` is the sum of all but `adverts` and `unsent`. */
export type RaMetrics = {
  received: number;
  solicitations: number;
  /** Router advertisements, asked for or not. */
  adverts: number;
  /** DHCPv6: answers to a SOLICIT that want a REQUEST next. */
  offers: number;
  replies: number;
  ignored: number;
  /** From a MAC that is no guest's. */
  unknown: number;
  /** From one guest more than any client sends. */
  limited: number;
  malformed: number;
  /** Packets the bridge did not take. */
  unsent: number;
};

/**
 * Router advertisements (RFC 4861, RFC 8106) and DHCPv6 (RFC 8415) on the bridges of networks with IPv6. A guest is known by
 * the MAC its packets come from; whoever is unknown hears nothing. Every advertisement goes to one guest alone, for not all
 * guests of a network are to have their default route by it.
 */
export class RaServer implements AsyncDisposable {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #networks = new Map<Name, Served>();
  readonly #counts: RaMetrics = {
    received: 0,
    solicitations: 0,
    adverts: 0,
    offers: 0,
    replies: 0,
    ignored: 0,
    unknown: 0,
    limited: 0,
    malformed: 0,
    unsent: 0,
  };

  constructor(options: RaServerOptions = {}) {
    this.#log = options.log ?? silentLog;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Serves a network; guests that are known hear of changes at once. Repeat it whenever its bridge may have been made anew:
   * nothing is opened again unless it was. @throws KernelError, ENODEV when there is no such bridge
   */
  setNetwork(network: RaNetwork): void {
    const served = this.#networks.get(network.network);
    if (served?.network.bridge === network.bridge && served.listener.alive) {
      const changed = !isDeepStrictEqual(served.network, network);
      served.network = network;
      if (changed) this.#advertiseAll(served, { final: false });
      return;
    }
    // The new one first: should it fail, the guests are still known at the next try.
    const listener = new BridgeListener({
      bridge: network.bridge,
      wish: { protocol: "ipv6", udpPort: dhcp6Port.server, icmpType: icmp6Type.routerSolicit },
      groups: [allRouters, allDhcpServers],
      receive: (packet) => this.#receive(network.network, packet),
      log: this.#log,
      clock: this.#clock,
    });
    served?.[Symbol.dispose]();
    const fresh = new Served({ network, listener, guests: served?.guests ?? new Map() });
    this.#networks.set(network.network, fresh);
    this.#schedule(fresh, 0);
  }

  /** Tells the guests that this router goes, then serves the network no more and forgets them. Call it while the bridge is there. */
  removeNetwork(network: Name): void {
    const served = this.#networks.get(network);
    if (served === undefined) return;
    this.#advertiseAll(served, { final: true });
    this.#drop(served);
  }

  /** Adds a guest or replaces the one with its MAC. False when there is no such network. */
  addGuest(network: Name, guest: RaGuest): boolean {
    const guests = this.#networks.get(network)?.guests;
    const allowance = guests?.get(guest.mac)?.allowance ?? new Allowance(this.#clock.monotonic());
    return guests?.set(guest.mac, { guest, allowance }) !== undefined;
  }

  removeGuest(network: Name, { mac }: Pick<RaGuest, "mac">): void {
    this.#networks.get(network)?.guests.delete(mac);
  }

  metrics(): RaMetrics {
    return { ...this.#counts };
  }

  /** Falls silent without a farewell: guests outlive the daemon and keep their routes until it is back. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const served of this.#networks.values()) this.#drop(served);
  }

  #drop(served: Served): void {
    served[Symbol.dispose]();
    this.#networks.delete(served.network.network);
  }

  #schedule(served: Served, sent: number): void {
    served.timer = setTimeout(
      () => {
        this.#advertiseAll(served, { final: false });
        this.#schedule(served, sent + 1);
      },
      advertPauseMs(sent, Math.random()),
    );
    served.timer.unref();
  }

  #advertiseAll(served: Served, kind: { final: boolean }): void {
    for (const { guest } of served.guests.values()) this.#advertise(served, guest, { ...kind, to: allNodes });
  }

  #advertise({ network, listener }: Served, guest: RaGuest, { to, final }: { to: Ipv6; final: boolean }): void {
    const { mac } = listener;
    const way = { source: listener.linkLocalAddress(), destination: to };
    const sent = listener.send(guest.mac, encodeRouterAdvert(advertFor(network, guest, { mac, final }), way));
    this.#counts[sent ? "adverts" : "unsent"]++;
  }

  #receive(name: Name, { packet, from }: ReceivedPacket): void {
    const served = this.#networks.get(name);
    if (served === undefined) return;
    this.#counts.received++;
    const known = served.guests.get(from);
    // Before anything is read: neither strangers nor floods are worth the work.
    if (known === undefined) this.#counts.unknown++;
    else if (!known.allowance.take(this.#clock.monotonic())) this.#counts.limited++;
    else this.#serve(served, known.guest, packet);
  }

  #serve(served: Served, guest: RaGuest, bytes: Uint8Array): void {
    try {
      const packet = decodeIpv6(bytes);
      if (packet.nextHeader === nextHeader.icmp6) this.#solicited(served, guest, packet);
      else this.#asked(served, guest, packet);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#counts.malformed++;
      this.#log.debug({ network: served.network.network, mac: guest.mac, error: error.message }, "a request of a guest is malformed");
    }
  }

  /** At once, not after a random pause: there is no other router whose answer could collide (RFC 4861 §6.2.6). */
  #solicited(served: Served, guest: RaGuest, packet: Ipv6Packet): void {
    const { source } = decodeRouterSolicit(packet);
    this.#counts.solicitations++;
    this.#advertise(served, guest, { to: source === "::" ? allNodes : source, final: false });
  }

  #asked({ network, listener }: Served, guest: RaGuest, packet: Ipv6Packet): void {
    const datagram = decodeUdp6(packet);
    const request = decodeDhcp6(datagram.payload);
    const multicast = datagram.destination === allDhcpServers;
    // From anywhere but a link-local address nobody would get the answer.
    const answer = isLinkLocal(datagram.source)
      ? answerDhcp6(request, { network, guest, serverDuid: duidOfMac(listener.mac), multicast })
      : undefined;
    if (answer === undefined) {
      this.#counts.ignored++;
      return;
    }
    const reply = encodeUdp6({
      source: listener.linkLocalAddress(),
      destination: datagram.source,
      sourcePort: dhcp6Port.server,
      destinationPort: dhcp6Port.client,
      payload: encodeDhcp6(answer),
    });
    const count = answer.type === dhcp6Type.advertise ? "offers" : "replies";
    this.#counts[count]++;
    if (!listener.send(guest.mac, reply)) this.#counts.unsent++;
  }
}

type Known = { guest: RaGuest; allowance: Allowance };

class Served implements Disposable {
  network: RaNetwork;
  readonly listener: BridgeListener;
  readonly guests: Map<Mac, Known>;
  timer: NodeJS.Timeout | undefined;

  constructor(parts: { network: RaNetwork; listener: BridgeListener; guests: Map<Mac, Known> }) {
    this.network = parts.network;
    this.listener = parts.listener;
    this.guests = parts.guests;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    this.listener[Symbol.dispose]();
  }
}

function isLinkLocal(address: Ipv6): boolean {
  return /^fe[89ab]/.test(address);
}

const allNodes = parseIpv6("ff02::1") as Ipv6;
