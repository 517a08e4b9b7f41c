import { type Clock, systemClock } from "../../base/clock.ts";
import { WireError } from "../../base/errors.ts";
import { type Log, silentLog } from "../../base/log.ts";
import { type Mac, parseMac } from "../../base/mac.ts";
import type { Name } from "../../base/names.ts";
import type { ReceivedPacket } from "../../kernel/packet-socket.ts";
import { decodeDhcp, type DhcpMessage, dhcpPort, encodeDhcp } from "../../wire/dhcp/message.ts";
import { decodeUdp4, encodeUdp4, type Udp4 } from "../../wire/dhcp/udp4.ts";
import { answerDhcp, type DhcpAnswer, speaksFor } from "./answer.ts";
import { BridgeListener } from "./bridge-listener.ts";
import type { DhcpGuest, DhcpNetwork } from "./network.ts";
import { Allowance } from "./rate.ts";
import { everyAddress, type Lease, makeLease } from "./reply-options.ts";

export type DhcpServerOptions = { log?: Log; clock?: Clock };

/** Counts since the start; every packet is in `received` and in exactly one of the others. */
export type DhcpMetrics = {
  received: number;
  offers: number;
  acks: number;
  naks: number;
  declined: number;
  released: number;
  /** Meant for another server, or no request at all. */
  ignored: number;
  /** From a MAC that is no guest's. */
  unknown: number;
  /** From one guest more than any client sends. */
  limited: number;
  /** In another guest's name, or relayed. */
  foreign: number;
  malformed: number;
  /** Answers the bridge did not take. */
  unsent: number;
};

/**
 * DHCP on the gateways of networks (RFC 2131). Addresses were decided before: a guest is known by its MAC, gets its address
 * and no other, and whoever is unknown hears nothing. Answers reach clients without address by packet socket.
 */
export class DhcpServer implements AsyncDisposable {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #networks = new Map<Name, Served>();
  readonly #counts: DhcpMetrics = {
    received: 0,
    offers: 0,
    acks: 0,
    naks: 0,
    declined: 0,
    released: 0,
    ignored: 0,
    unknown: 0,
    limited: 0,
    foreign: 0,
    malformed: 0,
    unsent: 0,
  };

  constructor(options: DhcpServerOptions = {}) {
    this.#log = options.log ?? silentLog;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Serves a network, or changes what its clients are told from now on; its guests stay. Repeat it whenever its bridge may
   * have been made anew: nothing is opened again unless it was. @throws KernelError, ENODEV when there is no such bridge
   */
  setNetwork(network: DhcpNetwork): void {
    const served = this.#networks.get(network.network);
    for (const known of served?.guests.values() ?? []) known.lease = undefined;
    if (served?.network.bridge === network.bridge && served.listener.alive) {
      served.network = network;
      return;
    }
    // The new one first: should it fail, the guests are still known at the next try.
    const listener = new BridgeListener({
      bridge: network.bridge,
      wish: { protocol: "ipv4", udpPort: dhcpPort.server },
      receive: (packet) => this.#receive(network.network, packet),
      log: this.#log,
      clock: this.#clock,
    });
    served?.listener[Symbol.dispose]();
    this.#networks.set(network.network, { network, listener, guests: served?.guests ?? new Map() });
  }

  /** Serves a network no more and forgets its guests. */
  removeNetwork(network: Name): void {
    this.#networks.get(network)?.listener[Symbol.dispose]();
    this.#networks.delete(network);
  }

  /** Adds a guest or replaces the one with its MAC. False when there is no such network. */
  addGuest(network: Name, guest: DhcpGuest): boolean {
    const guests = this.#networks.get(network)?.guests;
    const allowance = guests?.get(guest.mac)?.allowance ?? new Allowance(this.#clock.monotonic());
    return guests?.set(guest.mac, { guest, allowance, lease: undefined }) !== undefined;
  }

  removeGuest(network: Name, { mac }: Pick<DhcpGuest, "mac">): void {
    this.#networks.get(network)?.guests.delete(mac);
  }

  metrics(): DhcpMetrics {
    return { ...this.#counts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const network of this.#networks.keys()) this.removeNetwork(network);
  }

  #receive(name: Name, { packet, from }: ReceivedPacket): void {
    const served = this.#networks.get(name);
    if (served === undefined) return;
    this.#counts.received++;
    const known = served.guests.get(from);
    // Before anything is read: neither strangers nor floods are worth the work.
    if (known === undefined) this.#counts.unknown++;
    else if (!known.allowance.take(this.#clock.monotonic())) this.#counts.limited++;
    else this.#serve(served, known, packet);
  }

  #serve(served: Served, known: Known, packet: Uint8Array): void {
    const { guest } = known;
    try {
      const datagram = decodeUdp4(packet);
      const request = decodeDhcp(datagram.payload);
      if (!speaksFor(request, guest.mac)) this.#counts.foreign++;
      else this.#act(served, guest, this.#answer(served, known, { request, from: datagram.source }));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#counts.malformed++;
      this.#log.debug({ network: served.network.network, mac: guest.mac, error: error.message }, "a DHCP message is malformed");
    }
  }

  #answer({ network }: Served, known: Known, { request, from }: { request: DhcpMessage; from: Udp4["source"] }): DhcpAnswer {
    known.lease ??= makeLease(network, known.guest);
    return known.lease === undefined ? { kind: "ignored" } : answerDhcp(request, from, known.lease);
  }

  #act(served: Served, guest: DhcpGuest, answer: DhcpAnswer): void {
    switch (answer.kind) {
      case "offer":
        return this.#send(served, guest, { answer, count: "offers" });
      case "ack":
        return this.#send(served, guest, { answer, count: "acks" });
      case "nak":
        return this.#send(served, guest, { answer, count: "naks" });
      case "declined":
        this.#counts.declined++;
        this.#log.warn(
          { network: served.network.network, mac: guest.mac, address: guest.address },
          "a guest declined its address: another host of the network uses it",
        );
        return;
      case "released":
        this.#counts.released++;
        return;
      case "ignored":
        this.#counts.ignored++;
        return;
    }
  }

  #send({ listener }: Served, guest: DhcpGuest, { answer, count }: { answer: Reply; count: "offers" | "acks" | "naks" }): void {
    const datagram: Udp4 = {
      source: answer.from,
      destination: answer.to,
      sourcePort: dhcpPort.server,
      destinationPort: dhcpPort.client,
      payload: encodeDhcp(answer.message),
    };
    const sent = listener.send(answer.to === everyAddress ? broadcastMac : guest.mac, encodeUdp4(datagram));
    this.#counts[sent ? count : "unsent"]++;
  }
}

/** `lease` is made with the first request and again after every change of the network. */
type Known = { guest: DhcpGuest; allowance: Allowance; lease: Lease | undefined };
type Served = { network: DhcpNetwork; listener: BridgeListener; guests: Map<Mac, Known> };
type Reply = { message: DhcpMessage; to: Udp4["destination"]; from: Udp4["source"] };

const broadcastMac = parseMac("ff:ff:ff:ff:ff:ff") as Mac;
