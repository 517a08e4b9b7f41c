import { encodeMessage, type Message, type ResourceRecord } from "../../wire/dns/message.ts";
import { isEdns, readEdns } from "../../wire/dns/edns.ts";
import { headerFlag, responseCode } from "../../wire/dns/numbers.ts";
import type { KeptReply } from "../../wire/dns/response.ts";

/** RFC 8767 §4 and RFC 2308 §5 advise bounds; a guest's answer must not outlive a day. */
const maxTtlSeconds = 86400;
const maxNegativeTtlSeconds = 3600;
/** RFC 9520 §3.2: a failure is remembered for at least one second. */
const failureTtlSeconds = 1;

/** An upstream's reply in our own encoding, without its OPT record, and how long it may be used. @throws WireError */
export function keepReply(message: Message): { reply: KeptReply; ttlSeconds: number } {
  const edns = message.additionals.find(isEdns);
  const code = (message.flags & 15) | ((edns === undefined ? 0 : readEdns(edns).extendedCode) << 4);
  const sane = (records: ResourceRecord[]) => records.filter((record) => !isEdns(record)).map(saneTtl);
  const cleaned: Message = {
    ...message,
    answers: sane(message.answers),
    authorities: sane(message.authorities),
    additionals: sane(message.additionals),
  };
  const reply: KeptReply = { ...encodeMessage(cleaned), code, authentic: (message.flags & headerFlag.AD) !== 0 };
  return { reply, ttlSeconds: lifetime(cleaned, code) };
}

function lifetime(message: Message, code: number): number {
  if (code !== responseCode.NOERROR && code !== responseCode.NXDOMAIN) return failureTtlSeconds;
  const negative = code === responseCode.NXDOMAIN || message.answers.length === 0;
  const answers = Math.min(maxTtlSeconds, ...message.answers.map((record) => record.ttl));
  return negative ? Math.min(answers, negativeTtl(message)) : answers;
}

/** RFC 2308 §5: the lesser of the SOA's own time to live and its last field; without SOA nothing is kept. */
function negativeTtl(message: Message): number {
  for (const { data, ttl } of message.authorities) {
    if (data.kind === "SOA") return Math.min(ttl, data.minimum, maxNegativeTtlSeconds);
  }
  return 0;
}

/** RFC 2181 §8: a time to live with its top bit set means zero. */
function saneTtl(record: ResourceRecord): ResourceRecord {
  return record.ttl > 0x7fffffff ? { ...record, ttl: 0 } : record;
}
