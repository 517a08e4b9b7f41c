import { canonicalName } from "../base/host-name.ts";
import { type Ip, ipFamily, parseIp } from "../base/ip.ts";
import { isFault } from "../base/names.ts";
import { prefixContains } from "../base/prefix.ts";
import { specialMeaning } from "../base/special-ranges.ts";
import { EgressRules } from "../plan/egress.ts";
import type { PinChange } from "../plan/firewall/pins.ts";
import type { NameJudge, NameQuestion, NameVerdict } from "../services/dns/egress.ts";
import type { EgressWish } from "../spec/egress-wish.ts";
import type { AttachmentRow, GuestRecord } from "../state/rows.ts";
import { nameToText } from "../wire/dns/name.ts";
import type { EgressDiary } from "./egress-diary.ts";
import type { NetworkEngine } from "./network-access.ts";
import type { Claim } from "./pins.ts";
import { attachmentsOf, type World } from "./world.ts";

export type EgressOptions = { world: World; wiring: Pick<NetworkEngine, "pin">; diary: EgressDiary };

/** How long a guest may keep an answer, seconds: programs often hold on to one longer than they are told, so it is not too short. */
const keptSeconds = { least: 60, most: 3600 };
/** What an address can be reached longer than its answer may be kept: it was used in its last second. */
const graceSeconds = 30;

/** One network that a guest is on, and what its policies leave open there. */
type Way = { rules: EgressRules; sources: readonly Ip[]; internal: boolean };

/** Judges the names that guests ask for, and pins what they lead to before anybody hears of it. */
export class Egress {
  readonly #o: EgressOptions;
  readonly #rules = new WeakMap<AttachmentRow, { network: EgressWish | undefined; own: EgressWish | undefined; rules: EgressRules }>();

  constructor(options: EgressOptions) {
    this.#o = options;
  }

  readonly judge: NameJudge = (question) => {
    const { world } = this.#o;
    const address = parseIp(question.client);
    const guest = address === undefined ? undefined : world.guestAt(address);
    if (address === undefined || guest === undefined) return this.#stranger(question, address);
    const ways = this.#waysOf(guest);
    if (!ways.some(({ rules }) => rules.restricted)) return free;
    const text = nameToText(question.name);
    const name = canonicalName(text);
    const open = isFault(name) ? [] : ways.flatMap((way) => openings(way, name));
    // Who has another way out that nothing restricts may know every name; it is still only by that way that it gets there.
    const unbound = ways.some(({ rules, internal }) => !rules.restricted && !internal);
    if (open.length === 0 && !unbound) {
      this.#o.diary.refused(guest.name, text);
      return { kind: "refused" };
    }
    if (open.length === 0 || isFault(name)) return free;
    return { kind: "pinned", pin: (addresses) => this.#pin(guest, { name, open, unbound, addresses }) };
  };

  /** Takes back what the policies of now do not allow; the kernel is to be told. */
  reconsider(): PinChange[] {
    const { world } = this.#o;
    return world.pins.keep((claim, name) => {
      const guest = world.guestAt(claim.source);
      const way = guest === undefined ? undefined : this.#waysOf(guest).find(({ sources }) => sources.includes(claim.source));
      return way?.rules.restricted === true && way.rules.ports(name).includes(claim.port);
    });
  }

  /** Nobody of ours has the address: the host itself may ask anything; whoever else is on a restricted network, nothing. */
  #stranger({ network, name }: NameQuestion, address: Ip | undefined): NameVerdict {
    const row = this.#o.world.networks.get(network);
    if (row === undefined || !new EgressRules([row.spec.egress]).restricted) return free;
    if (address !== undefined && !row.subnets.some(({ prefix, gateway }) => gateway !== address && prefixContains(prefix, address)))
      return free;
    this.#o.diary.refused(network, nameToText(name));
    return { kind: "refused" };
  }

  #pin(
    guest: GuestRecord,
    { name, open, unbound, addresses }: { name: string; open: readonly Opening[]; unbound: boolean; addresses: ReadonlyMap<Ip, number> },
  ): ReadonlyMap<Ip, number> | undefined {
    const { world, wiring, diary } = this.#o;
    const kept = new Map<Ip, number>();
    const changes: PinChange[] = [];
    for (const [address, ttl] of addresses) {
      const why = specialMeaning(address) ?? this.#ownMeaning(address);
      if (why !== undefined) {
        diary.withheld(guest.name, name, `${address} is ${why}`);
        if (unbound) kept.set(address, ttl);
        continue;
      }
      const seconds = Math.min(ttl, keptSeconds.most);
      const claims = open
        .filter(({ source }) => ipFamily(source) === ipFamily(address))
        .flatMap(({ source, ports }) => ports.map((port): Claim => ({ source, address, port })));
      const lifeMs = (Math.max(seconds, keptSeconds.least) + graceSeconds) * 1000;
      const pinned = world.pins.claim(name, claims, { lifeMs, enoughMs: Math.max(seconds, keptSeconds.least) * 1000 });
      if (pinned === undefined) diary.withheld(guest.name, name, "it holds as many addresses as one guest may");
      else {
        kept.set(address, seconds);
        changes.push(...pinned);
      }
    }
    if (changes.length === 0) return kept;
    try {
      wiring.pin(changes);
    } catch (error) {
      world.pins.abandon(changes);
      diary.withheld(guest.name, name, error instanceof Error ? error.message : String(error));
      return undefined;
    }
    diary.pinned(guest.name, name, [...kept.keys()]);
    return kept;
  }

  #ownMeaning(address: Ip): string | undefined {
    for (const { name, subnets } of this.#o.world.networks.values())
      if (subnets.some(({ prefix }) => prefixContains(prefix, address))) return `an address of network ${name}`;
    return undefined;
  }

  #waysOf(guest: GuestRecord): Way[] {
    return attachmentsOf(guest).flatMap(({ network: name, addresses, egress: own }, i) => {
      const row = guest.attachments[i];
      const network = this.#o.world.networks.get(name);
      if (row === undefined || network === undefined) return [];
      let known = this.#rules.get(row);
      if (known === undefined || known.network !== network.spec.egress || known.own !== own) {
        known = { network: network.spec.egress, own, rules: new EgressRules([network.spec.egress, own]) };
        this.#rules.set(row, known);
      }
      return [{ rules: known.rules, sources: addresses, internal: network.spec.internal }];
    });
  }
}

const free: NameVerdict = { kind: "free" };

/** From where, and to which ports of a name. */
type Opening = { source: Ip; ports: readonly Claim["port"][] };

function openings({ rules, sources }: Way, name: string): Opening[] {
  const ports = rules.restricted ? rules.ports(name) : [];
  return ports.length === 0 ? [] : sources.map((source) => ({ source, ports }));
}
