import { execFileSync } from "node:child_process";
import type { z } from "zod";
import type { NetworkSpecInput } from "../../../src/spec/network.ts";
import type { attachmentSpec } from "../../../src/spec/node.ts";
import type { GuestView } from "../../../src/spec/views.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../src/wire/dns/message.ts";
import { ednsRecord } from "../../../src/wire/dns/edns.ts";
import { nameFromText } from "../../../src/wire/dns/name.ts";
import { recordType } from "../../../src/wire/dns/numbers.ts";
import { NamesOutside } from "./names.ts";
import { Nexusd } from "./nexusd.ts";
import { type Outcome, Place } from "./place.ts";
import { ip } from "./topology.ts";

/** The uplink has documentation addresses; what guests visit has public ones, which no packet of a test ever leaves for. */
export const uplink = { host: "198.51.100.1", outside: "198.51.100.2", host6: "2001:db8:51::1", outside6: "2001:db8:51::2" } as const;
export const site = { a: "93.184.1.1", a6: "2600:9000::1", b: "93.184.2.2", b6: "2600:9000::2", shared: "93.184.9.9" } as const;

/** What every place outside and on the host serves. */
const ports = { tcp: [80, 443, 8443], udp: [443, 123], echo: [9000], talk: [9001] };

/** A daemon, networks with egress policies, and an outside with sites and a resolver. */
export class EgressBed implements AsyncDisposable {
  readonly daemon: Nexusd;
  readonly names: NamesOutside;
  readonly outside: Place;
  readonly host: Place;
  readonly #guests = new Map<string, { view: GuestView; place: Place }>();
  readonly #stack: AsyncDisposableStack;

  static async make(): Promise<EgressBed> {
    await using stack = new AsyncDisposableStack();
    surroundings();
    const outside = stack.use(new Place("outside", "/run/netns/outside"));
    const host = stack.use(new Place("host"));
    const names = stack.use(await NamesOutside.start("outside", uplink.outside));
    await Promise.all([outside.listen(ports), host.listen({ tcp: [7000], udp: [7001] })]);
    const daemon = stack.use(await Nexusd.start());
    return new EgressBed({ daemon, names, outside, host, stack: stack.move() });
  }

  private constructor(parts: { daemon: Nexusd; names: NamesOutside; outside: Place; host: Place; stack: AsyncDisposableStack }) {
    this.daemon = parts.daemon;
    this.names = parts.names;
    this.outside = parts.outside;
    this.host = parts.host;
    this.#stack = parts.stack;
  }

  async network(body: NetworkSpecInput): Promise<void> {
    await this.daemon.client.call("network.create", { body: { dns: [uplink.outside], ...body } });
  }

  async guest(body: z.input<typeof attachmentSpec>): Promise<GuestView> {
    const view = await this.daemon.client.call("attachment.create", { body });
    const place = this.#stack.use(new Place(view.name, view.netns));
    this.#guests.set(view.name, { view, place });
    await place.listen(ports);
    return view;
  }

  place(guest: string): Place {
    return this.#guest(guest).place;
  }

  address(guest: string, family: 4 | 6 = 4): string {
    const all = this.#guest(guest).view.attachments.flatMap((a) => a.addresses.map((cidr) => cidr.replace(/\/.*/, "")));
    return all.find((address) => address.includes(":") === (family === 6)) ?? "";
  }

  gateway(guest: string, family: 4 | 6 = 4): string {
    return this.#guest(guest).view.attachments[0]?.gateways.find((address) => address.includes(":") === (family === 6)) ?? "";
  }

  /** The outside knows a way to a guest's address, as for networks without translation. */
  wayBack(prefix: string): void {
    ip([`route add ${prefix} via ${uplink.host}`], "outside");
  }

  /** What the gateway's DNS says to a guest, with EDNS. */
  async lookUp(guest: string, name: string, type: "A" | "AAAA" | "HTTPS" | "TXT" = "A"): Promise<Message> {
    const payload = encodeMessage({
      id: 7,
      flags: 0x0100,
      questions: [{ name: nameFromText(name), type: recordType[type], class: 1 }],
      answers: [],
      authorities: [],
      additionals: [ednsRecord({ payloadBytes: 1232, extendedCode: 0, version: 0, dnssecOk: false, options: [] })],
    }).bytes;
    const heard = await this.place(guest).probe({ protocol: "udp", address: this.gateway(guest), port: 53, patienceMs: 8000, payload });
    if (heard.kind !== "bytes") throw new Error(`${guest} got no answer for ${name}: ${JSON.stringify(heard)}`);
    return decodeMessage(heard.bytes);
  }

  async addresses(guest: string, name: string, type: "A" | "AAAA" = "A"): Promise<string[]> {
    const { answers } = await this.lookUp(guest, name, type);
    return answers.flatMap(({ data }) => (data.kind === "A" || data.kind === "AAAA" ? [data.address] : []));
  }

  /** As programs do: asks for the name, and connects at once. */
  async visit(guest: string, name: string, port: number, type: "A" | "AAAA" = "A"): Promise<Outcome["kind"] | "no address"> {
    const [address] = await this.addresses(guest, name, type);
    return address === undefined ? "no address" : await this.reach(guest, address, port);
  }

  async reach(guest: string, address: string, port: number, protocol: "tcp" | "udp" = "tcp"): Promise<Outcome["kind"]> {
    return (await this.place(guest).probe({ protocol, address, port, patienceMs: 8000 })).kind;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #guest(name: string): { view: GuestView; place: Place } {
    const guest = this.#guests.get(name);
    if (guest === undefined) throw new Error(`no guest ${name}`);
    return guest;
  }
}

/** What `nft` lists in a set of pins: server and port of each, once for both protocols. */
export function pinned(set: "pinned4" | "pinned6" = "pinned4"): { source: string; to: string; seconds: number; names: string }[] {
  const text = execFileSync("nft", ["-j", "list", "set", "inet", "nexus", set], { encoding: "utf8" });
  const { nftables } = JSON.parse(text) as { nftables: { set?: { elem?: { elem: Listed }[] } }[] };
  return nftables
    .flatMap((object) => object.set?.elem ?? [])
    .map(({ elem }) => elem)
    .filter(({ val: { concat } }) => concat[1] === "tcp")
    .map(({ val: { concat }, expires, comment }) => ({
      source: String(concat[0]),
      to: `${concat[2]} ${concat[3]}`,
      seconds: expires,
      names: comment,
    }));
}

type Listed = { val: { concat: (string | number)[] }; expires: number; comment: string };

function surroundings(): void {
  execFileSync("ip", ["netns", "add", "outside"]);
  ip([
    "link set lo up",
    "link add uplink type veth peer name eth0 netns outside",
    `address add ${uplink.host}/24 dev uplink`,
    `address add ${uplink.host6}/64 dev uplink nodad`,
    "link set uplink up",
    `route add default via ${uplink.outside}`,
    `route add default via ${uplink.outside6}`,
  ]);
  ip(
    [
      "link set lo up",
      "link set eth0 up",
      `address add ${uplink.outside}/24 dev eth0`,
      `address add ${uplink.outside6}/64 dev eth0 nodad`,
      "route add local 93.184.0.0/16 dev lo",
      "route add local 2600:9000::/32 dev lo",
      // Whoever answers by UDP does so from the address it was asked at.
      `route replace 198.51.100.0/24 dev eth0 src ${site.a}`,
    ],
    "outside",
  );
}
