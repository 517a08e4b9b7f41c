import { type DnsName, foldName } from "./name.ts";
import { headerBytes, headerFlag, opcodeQuery, plainPayloadBytes, recordType } from "./numbers.ts";

/** What a server must know of a query, read in place: no record is decoded, nothing but the name is copied. */
export type Query = {
  id: number;
  flags: number;
  /** Folded to lower case; the case the client used stays in the request's bytes. */
  name: DnsName;
  type: number;
  class: number;
  /** The first byte after the question. */
  questionEnd: number;
  /** What the client takes over UDP, bytes; 512 without EDNS. */
  payloadBytes: number;
  /** Undefined without EDNS. */
  ednsVersion: number | undefined;
  dnssecOk: boolean;
};

/** `ignore`: no query at all, answering it could start a loop. The others are response codes to send. */
export type QueryFault = "ignore" | "formerr" | "notimp";

/** The query in a datagram or TCP message, or what is wrong with it. Never throws. */
export function readQuery(bytes: Buffer): Query | QueryFault {
  if (bytes.length < headerBytes) return "ignore";
  const flags = word(bytes, 2);
  if ((flags & headerFlag.QR) !== 0) return "ignore";
  if (((flags >>> 11) & 15) !== opcodeQuery) return "notimp";
  if (word(bytes, 4) !== 1) return "formerr";
  const nameEnd = questionNameEnd(bytes);
  if (nameEnd === -1 || nameEnd + 5 > bytes.length) return "formerr";
  const query: Query = {
    id: word(bytes, 0),
    flags,
    name: foldName(bytes.toString("latin1", headerBytes, nameEnd)),
    type: word(bytes, nameEnd + 1),
    class: word(bytes, nameEnd + 3),
    questionEnd: nameEnd + 5,
    payloadBytes: plainPayloadBytes,
    ednsVersion: undefined,
    dnssecOk: false,
  };
  const before = word(bytes, 6) + word(bytes, 8);
  const additionals = word(bytes, 10);
  return before + additionals === 0 || readOptions(bytes, query, { before, additionals }) ? query : "formerr";
}

/** Where the question's name ends (at its root byte), or -1. The first name of a message has nothing to point back to. */
function questionNameEnd(bytes: Buffer): number {
  let at = headerBytes;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return -1;
    if (length === 0) return at;
    at += length + 1;
    if (at - headerBytes + 1 > 255) return -1;
  }
}

/** Walks the records after the question to the one OPT there may be (RFC 6891 §6.1.1); false when they are malformed. */
function readOptions(bytes: Buffer, query: Query, count: { before: number; additionals: number }): boolean {
  let at = query.questionEnd;
  const total = count.before + count.additionals;
  for (let i = 0; i < total; i++) {
    const root = bytes[at] === 0;
    at = skipName(bytes, at);
    if (at === -1 || at + 10 > bytes.length) return false;
    const end = at + 10 + word(bytes, at + 8);
    if (end > bytes.length) return false;
    if (word(bytes, at) === recordType.OPT) {
      if (!root || i < count.before || query.ednsVersion !== undefined) return false;
      query.payloadBytes = Math.max(plainPayloadBytes, word(bytes, at + 2));
      query.ednsVersion = bytes[at + 5] ?? 0;
      query.dnssecOk = ((bytes[at + 6] ?? 0) & 0x80) !== 0;
    }
    at = end;
  }
  return true;
}

function skipName(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return -1;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return -1;
    at += length + 1;
  }
}

function word(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
