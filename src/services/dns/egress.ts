import type { Ip } from "../../base/ip.ts";
import type { Name } from "../../base/names.ts";
import { decodeMessage, encodeMessage, type Message, type ResourceRecord } from "../../wire/dns/message.ts";
import { type DnsName, foldName } from "../../wire/dns/name.ts";
import { recordType } from "../../wire/dns/numbers.ts";
import type { KeptReply } from "../../wire/dns/response.ts";

/** Who asks for which name outside our zones. */
export type NameQuestion = { network: Name; client: string; name: DnsName };

/**
 * What an egress policy says of a name: nothing, no, or yes on the condition that its addresses are pinned first. `pin` gives the seconds
 * a client may keep each address that it may reach; undefined when they could not be pinned.
 */
export type NameVerdict =
  | { kind: "free" }
  | { kind: "refused" }
  | { kind: "pinned"; pin: (addresses: ReadonlyMap<Ip, number>) => ReadonlyMap<Ip, number> | undefined };

export type NameJudge = (question: NameQuestion) => NameVerdict;

/** RFC 8914 §4.16: the server is not allowed to say, by its operator's policy. */
export const blocked = { code: 15, text: "egress policy" } as const;

/** Types that say where else a name's service is: their addresses are not pinned, so clients are to ask for A and AAAA. */
const withheld: ReadonlySet<number> = new Set([64, recordType.HTTPS]);

export function isWithheld(type: number): boolean {
  return withheld.has(type);
}

/**
 * An upstream's reply with the addresses that were pinned and no others, none of it older than they live. Empty when all were refused,
 * undefined when the kernel could not be told.
 */
export function pinnedReply(
  kept: KeptReply,
  ageSeconds: number,
  { name, type, pin }: { name: DnsName; type: number; pin: Extract<NameVerdict, { kind: "pinned" }>["pin"] },
): { reply: KeptReply; withheldAll: boolean } | undefined {
  if (type !== recordType.A && type !== recordType.AAAA)
    return { reply: aged(kept, ageSeconds, (message) => message.answers), withheldAll: false };
  const chain = aliasesOf(decodeMessage(kept.bytes), name);
  let withheldAll = false;
  let failed = false;
  const reply = aged(kept, ageSeconds, (message) => {
    const own = message.answers.filter((record) => chain.has(foldName(record.name)));
    const found = new Map<Ip, number>();
    for (const { data, ttl } of own)
      if (data.kind === "A" || data.kind === "AAAA") found.set(data.address, Math.min(ttl, found.get(data.address) ?? ttl));
    const pinned = found.size === 0 ? found : pin(found);
    failed = pinned === undefined;
    withheldAll = found.size > 0 && pinned?.size === 0;
    const most = Math.min(...(pinned?.values() ?? []));
    return own.flatMap((record): ResourceRecord[] => {
      const { data } = record;
      if (data.kind !== "A" && data.kind !== "AAAA") return [{ ...record, ttl: Math.min(record.ttl, most) }];
      const ttl = pinned?.get(data.address);
      return ttl === undefined ? [] : [{ ...record, ttl }];
    });
  });
  return failed ? undefined : { reply, withheldAll };
}

/** Only the answers, and for negative replies the SOA: what else servers add are addresses nobody asked for. */
function aged(kept: KeptReply, ageSeconds: number, answersOf: (message: Message) => ResourceRecord[]): KeptReply {
  const message = decodeMessage(kept.bytes);
  const older = (records: ResourceRecord[]) => records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - ageSeconds) }));
  const answers = answersOf({ ...message, answers: older(message.answers) });
  const authorities = older(message.authorities.filter(({ data }) => data.kind === "SOA"));
  return { ...kept, ...encodeMessage({ ...message, answers, authorities, additionals: [] }) };
}

/** The name and those it is an alias of, in the order of the reply. */
function aliasesOf({ answers }: Message, name: DnsName): Set<DnsName> {
  const chain = new Set([name]);
  for (let grown = true; grown;) {
    grown = false;
    for (const { name: owner, data } of answers) {
      if (data.kind !== "CNAME" || !chain.has(foldName(owner)) || chain.has(foldName(data.target))) continue;
      chain.add(foldName(data.target));
      grown = true;
    }
  }
  return chain;
}
