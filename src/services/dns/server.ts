import { type Clock, systemClock } from "../../base/clock.ts";
import { joinErrors } from "../../base/errors.ts";
import type { Ip } from "../../base/ip.ts";
import { type Log, silentLog } from "../../base/log.ts";
import type { Name } from "../../base/names.ts";
import { parsePort, type Port } from "../../base/port.ts";
import { nameToText } from "../../wire/dns/name.ts";
import { headerFlag, responseCode, safePayloadBytes } from "../../wire/dns/numbers.ts";
import { type Query, type QueryFault, readQuery } from "../../wire/dns/query.ts";
import { bareReply, type KeptReply, ResponseWriter } from "../../wire/dns/response.ts";
import { type Asked, Authority } from "./authority.ts";
import { type Place, placeText, type Receive } from "./bind.ts";
import { type CacheLimits, ReplyCache } from "./cache.ts";
import { Clients } from "./clients.ts";
import { blocked, isWithheld, type NameJudge, pinnedReply } from "./egress.ts";
import { askUpstream, type Exchange } from "./exchange.ts";
import { Forwarder, type ForwarderLimits, type UpstreamSet } from "./forwarder.ts";
import { UpstreamHealth } from "./race.ts";
import { HostResolvers } from "./resolv-conf.ts";
import { listenTcp, TcpConnections, type TcpLimits } from "./tcp.ts";
import { listenUdp } from "./udp.ts";
import { dnsPort, type Upstream, upstreamText } from "./upstream.ts";
import { type GuestRecord, type NetworkZone, Zones } from "./zone.ts";

export type DnsLimits = ForwarderLimits & { cache: CacheLimits; tcp: TcpLimits };

export type DnsServerOptions = {
  /** What all names end with. */
  domain?: string;
  /** Seconds a client may keep our own names; 0 so that a change is seen by all at once. */
  ttlSeconds?: number;
  /** The host's resolver list, followed live while no upstreams are set. */
  resolvConf?: string;
  limits?: Partial<DnsLimits>;
  /** Logs each query at debug level. */
  logQueries?: boolean;
  clock?: Clock;
  log?: Log;
  exchange?: Exchange;
  /** Says which names outside our zones a client may know; by default all. */
  judge?: NameJudge;
};

/** A network as the server needs it; `forward: false` refuses every name outside our zones. */
export type DnsNetwork = NetworkZone & { forward: boolean };

/** `network` is served to clients that belong to none of ours, as the host itself. */
export type DnsListener = { address: Ip; network: Name; port?: Port };

/** Counts since the start. `codes` counts replies by response code, 0-15. */
export type DnsMetrics = {
  queries: number;
  local: number;
  cacheHits: number;
  forwarded: number;
  raced: number;
  busy: number;
  /** Refused by an egress policy. */
  blocked: number;
  ignored: number;
  truncated: number;
  refused: number;
  codes: readonly number[];
  waiting: number;
  tcpConnections: number;
  cacheEntries: number;
  cacheBytes: number;
};

const defaultLimits: DnsLimits = {
  inFlight: 4096,
  inFlightPerClient: 256,
  staggerMs: 40,
  deadlineMs: 4000,
  cache: { entries: 20_000, bytes: 16 * 1024 * 1024 },
  tcp: { connections: 1024, connectionsPerClient: 32, idleMs: 10_000 },
};

const maxMessageBytes = 65535;

/** Names for guests: one server, one listener per gateway address; each guest sees what its own network may see, whichever it asks. */
export class DnsServer implements AsyncDisposable {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #logQueries: boolean;
  readonly #judge: NameJudge;
  readonly #zones: Zones;
  readonly #clients = new Clients();
  readonly #writer = new ResponseWriter();
  readonly #authority: Authority;
  readonly #cache: ReplyCache;
  readonly #health: UpstreamHealth;
  readonly #forwarder: Forwarder;
  readonly #connections: TcpConnections;
  readonly #host: HostResolvers;
  readonly #listeners = new Map<Ip, Listening>();
  readonly #noForward = new Set<Name>();
  readonly #chosen = new Map<Name | undefined, readonly Upstream[]>();
  readonly #sets = new Map<Name, UpstreamSet>();
  readonly #counts = {
    queries: 0,
    local: 0,
    cacheHits: 0,
    forwarded: 0,
    busy: 0,
    blocked: 0,
    ignored: 0,
    truncated: 0,
    codes: Array<number>(16).fill(0),
  };

  /** @throws WireError when the domain is no name */
  constructor(options: DnsServerOptions = {}) {
    const clock = options.clock ?? systemClock;
    const limits = { ...defaultLimits, ...options.limits };
    this.#clock = clock;
    this.#log = options.log ?? silentLog;
    this.#logQueries = options.logQueries ?? false;
    this.#judge = options.judge ?? (() => ({ kind: "free" }));
    this.#zones = new Zones({ domain: options.domain ?? "nexus" });
    this.#authority = new Authority({ zones: this.#zones, writer: this.#writer, ttlSeconds: options.ttlSeconds ?? 0 });
    this.#cache = new ReplyCache(clock, limits.cache);
    this.#health = new UpstreamHealth(() => clock.monotonic());
    this.#forwarder = new Forwarder({ cache: this.#cache, exchange: options.exchange ?? askUpstream, health: this.#health, limits });
    this.#connections = new TcpConnections(limits.tcp);
    this.#host = new HostResolvers({
      path: options.resolvConf ?? "/etc/resolv.conf",
      onChange: (upstreams) => this.#hostChanged(upstreams),
    });
  }

  /**
   * Answers on an address, which an interface must have by now, over UDP and TCP. Repeating it changes at most the network.
   * @throws NexusError `port-taken` with the holder's name, `wrong-state` without the address, `not-permitted`
   */
  async listen(listener: DnsListener): Promise<void> {
    const place: Place = { address: listener.address, port: listener.port ?? defaultPort };
    const known = this.#listeners.get(place.address);
    if (known !== undefined) {
      known.network = listener.network;
      if (known.place.port === place.port) return known.ready;
      this.unlisten(place.address);
    }
    const sockets = new DisposableStack();
    const listening: Listening = { place, network: listener.network, sockets, ready: Promise.resolve() };
    const receive: Receive = (request, from, reply) => this.#receive(listening, { request, from, reply });
    listening.ready = this.#open(listening, receive);
    this.#listeners.set(place.address, listening);
    this.#upstreamsChanged();
    await listening.ready;
  }

  /** Stops answering there; its connections are closed. Unknown addresses are no error. */
  unlisten(address: Ip): void {
    const listening = this.#listeners.get(address);
    if (listening === undefined) return;
    this.#listeners.delete(address);
    listening.sockets.dispose();
    this.#upstreamsChanged();
  }

  /** Adds the network or brings it to this form; its guests stay. */
  setNetwork(network: DnsNetwork): void {
    this.#zones.setNetwork(network);
    this.#clients.set(network.network, network.prefixes);
    if (network.forward) this.#noForward.delete(network.network);
    else this.#noForward.add(network.network);
  }

  /** Forgets the network with its guests and upstreams; its listeners are the caller's to end. */
  removeNetwork(network: Name): void {
    this.#zones.removeNetwork(network);
    this.#clients.remove(network);
    this.#noForward.delete(network);
    this.setUpstreams(network, []);
  }

  /** Brings the guests of a network to this list; only what differs is touched. */
  setRecords(network: Name, records: readonly GuestRecord[]): void {
    this.#zones.setRecords(network, records);
  }

  addGuest(network: Name, record: GuestRecord): void {
    this.#zones.addGuest(network, record);
  }

  removeGuest(network: Name, guest: Name): void {
    this.#zones.removeGuest(network, guest);
  }

  /** The other networks whose names a network may see. */
  setVisible(network: Name, peers: readonly Name[]): void {
    this.#zones.setVisible(network, peers);
  }

  /** The resolvers of one network, or of all that have none of their own; an empty list goes back to those, or the host's. */
  setUpstreams(network: Name | undefined, upstreams: readonly (Ip | Upstream)[]): void {
    const list = upstreams.map((upstream) => (typeof upstream === "string" ? { address: upstream, port: dnsPort } : upstream));
    const before = this.#chosen.get(network) ?? [];
    if (scopeOf(list) === scopeOf(before)) return;
    if (list.length > 0) this.#chosen.set(network, list);
    else this.#chosen.delete(network);
    this.#upstreamsChanged();
    this.#cache.clear();
  }

  /** Those a network's questions go to now. */
  upstreams(network: Name): readonly Upstream[] {
    return this.#upstreamSet(network).list;
  }

  metrics(): DnsMetrics {
    const { codes, ...counts } = this.#counts;
    return {
      ...counts,
      codes: [...codes],
      refused: codes[responseCode.REFUSED] ?? 0,
      raced: this.#forwarder.raced,
      waiting: this.#forwarder.waiting,
      tcpConnections: this.#connections.total,
      cacheEntries: this.#cache.size,
      cacheBytes: this.#cache.bytes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const address of this.#listeners.keys()) this.unlisten(address);
    this.#forwarder[Symbol.dispose]();
    this.#host[Symbol.dispose]();
  }

  async #open({ place, sockets }: Listening, receive: Receive): Promise<void> {
    const opened = await Promise.allSettled([
      listenUdp(place, { receive, log: this.#log, clock: this.#clock }),
      listenTcp(place, { receive, connections: this.#connections, log: this.#log }),
    ]);
    const gone = sockets.disposed;
    const errors: unknown[] = [];
    for (const result of opened) {
      if (result.status === "rejected") errors.push(result.reason);
      else if (gone) result.value[Symbol.dispose]();
      else sockets.use(result.value);
    }
    const error = joinErrors(errors, `DNS on ${placeText(place)} failed`);
    if (error === undefined) return;
    if (!gone) this.unlisten(place.address);
    throw errors[0] instanceof Error ? errors[0] : error;
  }

  #receive(listening: Listening, { request, from, reply }: Delivery): void {
    this.#counts.queries++;
    const send = (bytes: Buffer) => {
      this.#count(bytes);
      reply(bytes);
    };
    try {
      const query = readQuery(request);
      if (typeof query === "string") this.#fault(query, request, send);
      else this.#serve(listening, query, { request, from, reply: send });
    } catch (error) {
      // One query must never end the daemon; its bytes are what a report needs.
      this.#log.error({ error, request: request.toString("hex") }, "a DNS query could not be handled");
    }
  }

  #fault(fault: QueryFault, request: Buffer, reply: (bytes: Buffer) => void): void {
    switch (fault) {
      case "ignore":
        this.#counts.ignored++;
        return;
      case "formerr":
        return reply(bareReply(request, responseCode.FORMERR));
      case "notimp":
        return reply(bareReply(request, responseCode.NOTIMP));
    }
  }

  #serve(listening: Listening, query: Query, delivery: Delivery): void {
    const client = this.#clients.of(delivery.from.client);
    switch (client.kind) {
      case "own":
        return this.#answer(client.network, query, delivery);
      case "listener":
        return this.#answer(listening.network, query, delivery);
      case "nobody":
        return delivery.reply(bareReply(delivery.request, responseCode.REFUSED));
    }
  }

  #answer(network: Name, query: Query, { request, from, reply }: Delivery): void {
    const asked: Asked = {
      network,
      client: from.client,
      limitBytes: from.transport === "tcp" ? maxMessageBytes : Math.min(query.payloadBytes, safePayloadBytes),
      forward: this.#noForward.has(network) ? "no" : this.#chosen.size > 0 && this.#hasChosen(network) ? "private" : "yes",
    };
    if (this.#logQueries) this.#log.debug({ network, client: from.client, name: nameToText(query.name), type: query.type }, "dns query");
    const local = this.#authority.answer(request, query, asked);
    if (local !== undefined) {
      this.#counts.local++;
      return reply(local);
    }
    const verdict = this.#judge({ network, client: from.client, name: query.name });
    if (verdict.kind === "refused") return reply(this.#blocked(request, query, asked));
    if (verdict.kind === "pinned" && isWithheld(query.type))
      return reply(this.#authority.fail(request, query, { code: responseCode.NOERROR, asked }));
    const question = {
      name: query.name,
      type: query.type,
      class: query.class,
      dnssecOk: query.dnssecOk,
      checkingDisabled: (query.flags & headerFlag.CD) !== 0,
    };
    const accepted = this.#forwarder.ask(question, { client: from.client, upstreams: this.#upstreamSet(network) }, (kept, age) =>
      reply(this.#forwarded(request, { query, asked, kept, age })),
    );
    switch (accepted) {
      case "cached":
        this.#counts.cacheHits++;
        return;
      case "waiting":
        this.#counts.forwarded++;
        return;
      case "busy":
        this.#counts.busy++;
        return reply(this.#authority.fail(request, query, { code: responseCode.SERVFAIL, asked }));
    }
  }

  #forwarded(request: Buffer, { query, asked, kept, age }: Forwarded): Buffer {
    // The policy may have changed while the upstream was asked.
    const verdict = this.#judge({ network: asked.network, client: asked.client, name: query.name });
    if (verdict.kind === "refused") return this.#blocked(request, query, asked);
    if (verdict.kind === "pinned") {
      const pinned = pinnedReply(kept, age, { name: query.name, type: query.type, pin: verdict.pin });
      if (pinned === undefined) return this.#authority.fail(request, query, { code: responseCode.SERVFAIL, asked });
      if (pinned.withheldAll) return this.#authority.fail(request, query, { code: responseCode.NOERROR, asked, because: blocked });
      return this.#forward(request, { query, asked, kept: pinned.reply, age: 0 });
    }
    return this.#forward(request, { query, asked, kept, age });
  }

  /** Not REFUSED: some resolvers wait for another server then, where programs are to fail at once. */
  #blocked(request: Buffer, query: Query, asked: Asked): Buffer {
    this.#counts.blocked++;
    return this.#authority.fail(request, query, { code: responseCode.NXDOMAIN, asked, because: blocked });
  }

  #forward(request: Buffer, { query, asked, kept, age }: Forwarded): Buffer {
    const wantsAuthentic = query.dnssecOk || (query.flags & headerFlag.AD) !== 0;
    this.#writer.begin(request, query, { code: kept.code, flags: headerFlag.RA | (kept.authentic && wantsAuthentic ? headerFlag.AD : 0) });
    this.#writer.kept(kept, age, asked.limitBytes);
    return this.#writer.finish(query, asked.limitBytes);
  }

  #count(reply: Buffer): void {
    const code = (reply[3] ?? 0) & 15;
    this.#counts.codes[code] = (this.#counts.codes[code] ?? 0) + 1;
    if (((reply[2] ?? 0) & 2) !== 0) this.#counts.truncated++;
  }

  #hasChosen(network: Name): boolean {
    return this.#chosen.has(network) || this.#chosen.has(undefined);
  }

  /** Without our own listeners, which the host's list may name: a query must not come back to us. */
  #upstreamSet(network: Name): UpstreamSet {
    const known = this.#sets.get(network);
    if (known !== undefined) return known;
    const wanted = this.#chosen.get(network) ?? this.#chosen.get(undefined) ?? this.#host.current;
    const list = wanted.filter((upstream) => this.#listeners.get(upstream.address)?.place.port !== upstream.port);
    const set = { scope: scopeOf(list), list };
    this.#sets.set(network, set);
    return set;
  }

  #hostChanged(upstreams: readonly Upstream[]): void {
    this.#log.info({ upstreams: upstreams.map(upstreamText) }, "the host's resolvers changed");
    this.#upstreamsChanged();
    this.#cache.clear();
  }

  #upstreamsChanged(): void {
    this.#sets.clear();
    this.#health.clear();
  }
}

type Forwarded = { query: Query; asked: Asked; kept: KeptReply; age: number };
type Delivery = { request: Buffer; from: Parameters<Receive>[1]; reply: (bytes: Buffer) => void };
type Listening = { place: Place; network: Name; sockets: DisposableStack; ready: Promise<void> };

const defaultPort = parsePort(dnsPort) as Port;

function scopeOf(upstreams: readonly Upstream[]): string {
  return upstreams.map(upstreamText).join(" ");
}
