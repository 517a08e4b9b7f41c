import { type Clock, systemClock } from "../../base/clock.ts";
import { NexusError } from "../../base/errors.ts";
import type { Ip } from "../../base/ip.ts";
import { decodeMessage, type Message } from "../../wire/dns/message.ts";
import { type DnsName, foldName, nameFromText } from "../../wire/dns/name.ts";
import { classInternet, recordType, responseCode } from "../../wire/dns/numbers.ts";
import { ReplyCache } from "../dns/cache.ts";
import { askUpstream, type Exchange } from "../dns/exchange.ts";
import { Forwarder } from "../dns/forwarder.ts";
import { UpstreamHealth } from "../dns/race.ts";
import { HostResolvers } from "../dns/resolv-conf.ts";
import { type Upstream, upstreamText } from "../dns/upstream.ts";
import type { EgressResolver } from "./run.ts";

export type HostResolverOptions = { resolvConf?: string; clock?: Clock; exchange?: Exchange };

const cacheLimits = { entries: 4096, bytes: 4 << 20 };
const askLimits = { inFlight: 1024, inFlightPerClient: 64, staggerMs: 500, deadlineMs: 5000 };
/** RFC 1034 says nothing; longer chains are loops. */
const maxAliases = 16;

/** Asks the host's own resolvers, and follows their changes; one for all runs, whose answers it keeps for their time to live. */
export class EgressDns implements Disposable {
  readonly #forwarder: Forwarder;
  readonly #resolvers: HostResolvers;

  constructor(options: HostResolverOptions = {}) {
    const clock = options.clock ?? systemClock;
    const cache = new ReplyCache(clock, cacheLimits);
    const health = new UpstreamHealth(clock.monotonic);
    this.#forwarder = new Forwarder({ cache, exchange: options.exchange ?? askUpstream, health, limits: askLimits });
    const changed = () => {
      cache.clear();
      health.clear();
    };
    this.#resolvers = new HostResolvers({ path: options.resolvConf ?? "/etc/resolv.conf", onChange: changed });
  }

  /** A and AAAA of a name, no search list, no hosts file. One that fails leaves the other's; @throws NexusError when both do */
  readonly resolve: EgressResolver = async (name, { run }) => {
    const question = nameFromText(name);
    const [four, six] = await Promise.all([this.#ask(question, recordType.A, run), this.#ask(question, recordType.AAAA, run)]);
    if (four === undefined && six === undefined)
      throw new NexusError("timeout", `no resolver of this host gives the addresses of ${name}`, {
        hint: "see nameserver in /etc/resolv.conf",
      });
    return [...(four ?? []), ...(six ?? [])];
  };

  [Symbol.dispose](): void {
    this.#forwarder[Symbol.dispose]();
    this.#resolvers[Symbol.dispose]();
  }

  #ask(name: DnsName, type: number, run: string): Promise<Ip[] | undefined> {
    const list: readonly Upstream[] = this.#resolvers.current;
    const question = { name, type, class: classInternet, dnssecOk: false, checkingDisabled: false };
    const from = { client: run, upstreams: { scope: list.map(upstreamText).join(), list } };
    return new Promise((resolve) => {
      const accepted = this.#forwarder.ask(question, from, (reply) => resolve(addressesIn(decodeMessage(reply.bytes), name)));
      if (accepted === "busy") resolve(undefined);
    });
  }
}

/** The addresses the answer gives for the name itself or what it is an alias of; undefined when it says nothing of use. */
export function addressesIn(message: Message, name: DnsName): Ip[] | undefined {
  const code = message.flags & 15;
  if (code === responseCode.NXDOMAIN) return [];
  if (code !== responseCode.NOERROR) return undefined;
  const names = new Set([foldName(name)]);
  for (let i = 0; i < maxAliases; i++) {
    const before = names.size;
    for (const { name: owner, data } of message.answers)
      if (data.kind === "CNAME" && names.has(foldName(owner))) names.add(foldName(data.target));
    if (names.size === before) break;
  }
  return message.answers.flatMap(({ name: owner, data }) =>
    (data.kind === "A" || data.kind === "AAAA") && names.has(foldName(owner)) ? [data.address] : [],
  );
}
