import type { Encoded } from "./message.ts";
import { classInternet, headerBytes, headerFlag, recordType, safePayloadBytes } from "./numbers.ts";
import type { Query } from "./query.ts";

const maxMessageBytes = 65535;
const ednsBytes = 11;
const opcodeMask = 0x7800;

/** Why there is no answer, for clients with EDNS (RFC 8914 §2): INFO-CODE and a few ASCII words. */
export type ExtendedError = { code: number; text: string };

/** A complete reply of another server whose question is asked again, with how old it is. */
export type KeptReply = Encoded & { code: number; authentic: boolean };

/**
 * Replies written straight into one buffer that is used again and again: begin, then records, then finish, which copies.
 * The owner of an answer is the question; the owner of an authority record is a suffix of it, named by its offset.
 */
export class ResponseWriter {
  readonly #bytes = Buffer.allocUnsafe(maxMessageBytes);
  #length = 0;
  #answers = 0;
  #authorities = 0;
  #additionals = 0;
  #extendedCode = 0;
  #options: Buffer = noOptions;

  /** Header and question. `flags` are AA, RA or AD; RD and CD are the client's. `code` may be above 15. */
  begin(request: Buffer, query: Query, reply: { code: number; flags: number; because?: ExtendedError | undefined }): void {
    const copied = query.flags & (headerFlag.RD | headerFlag.CD);
    request.copy(this.#bytes, 0, 0, query.questionEnd);
    this.#word(2, headerFlag.QR | copied | reply.flags | (reply.code & 15));
    this.#length = query.questionEnd;
    this.#answers = 0;
    this.#authorities = 0;
    this.#additionals = 0;
    this.#extendedCode = reply.code >>> 4;
    this.#options = reply.because === undefined ? noOptions : extendedErrorOption(reply.because);
  }

  answer(type: number, ttl: number, data: Uint8Array): void {
    if (this.#record(headerBytes, { type, ttl, data })) this.#answers++;
  }

  authority(ownerOffset: number, record: { type: number; ttl: number; data: Uint8Array }): void {
    if (this.#record(ownerOffset, record)) this.#authorities++;
  }

  /** The records of a kept reply, their time to live less its age. Without room for all, what is not the answer goes first. */
  kept(reply: KeptReply, ageSeconds: number, limitBytes: number): void {
    const begin = this.#length;
    const room = limitBytes - ednsBytes;
    const whole = reply.bytes.length <= room;
    const answers = reply.bytes.readUInt16BE(6);
    const end = whole ? reply.bytes.length : answers > 0 ? reply.answersEnd : reply.bytes.length;
    reply.bytes.copy(this.#bytes, begin, begin, end);
    for (const at of reply.ttlOffsets) {
      if (at >= end) break;
      this.#bytes.writeUInt32BE(Math.max(0, reply.bytes.readUInt32BE(at) - ageSeconds), at);
    }
    this.#length = end;
    this.#answers = answers;
    this.#authorities = end === reply.bytes.length ? reply.bytes.readUInt16BE(8) : 0;
    this.#additionals = end === reply.bytes.length ? reply.bytes.readUInt16BE(10) : 0;
  }

  /** The reply, in a buffer of its own. What does not fit the limit leaves only the question and TC (RFC 2181 §9). */
  finish(query: Query, limitBytes: number): Buffer {
    const edns = query.ednsVersion !== undefined;
    if (this.#length + (edns ? ednsBytes + this.#options.length : 0) > limitBytes) {
      this.#length = query.questionEnd;
      this.#answers = this.#authorities = this.#additionals = 0;
      this.#word(2, this.#bytes.readUInt16BE(2) | headerFlag.TC);
    }
    if (edns) this.#edns(query);
    this.#word(4, 1);
    this.#word(6, this.#answers);
    this.#word(8, this.#authorities);
    this.#word(10, this.#additionals);
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  /** False when the buffer is full; `finish` then finds it over any limit. */
  #record(ownerOffset: number, { type, ttl, data }: { type: number; ttl: number; data: Uint8Array }): boolean {
    const at = this.#length;
    this.#length += 12 + data.length;
    if (this.#length > maxMessageBytes) return false;
    this.#word(at, 0xc000 | ownerOffset);
    this.#word(at + 2, type);
    this.#word(at + 4, classInternet);
    this.#bytes.writeUInt32BE(ttl, at + 6);
    this.#word(at + 10, data.length);
    this.#bytes.set(data, at + 12);
    return true;
  }

  #edns(query: Query): void {
    const at = this.#length;
    this.#bytes[at] = 0;
    this.#word(at + 1, recordType.OPT);
    this.#word(at + 3, safePayloadBytes);
    this.#bytes[at + 5] = this.#extendedCode;
    this.#bytes[at + 6] = 0;
    this.#word(at + 7, query.dnssecOk ? 0x8000 : 0);
    this.#word(at + 9, this.#options.length);
    this.#options.copy(this.#bytes, at + ednsBytes);
    this.#length += ednsBytes + this.#options.length;
    this.#additionals++;
  }

  #word(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value & 0xff;
  }
}

const noOptions = Buffer.alloc(0);
/** OPTION-CODE of an extended DNS error. */
const extendedError = 15;

function extendedErrorOption({ code, text }: ExtendedError): Buffer {
  const option = Buffer.alloc(6 + text.length);
  option.writeUInt16BE(extendedError, 0);
  option.writeUInt16BE(2 + text.length, 2);
  option.writeUInt16BE(code, 4);
  option.write(text, 6, "latin1");
  return option;
}

/** The reply to a query whose question cannot be read: a header alone (RFC 8906 §3.1.3). */
export function bareReply(request: Buffer, code: number): Buffer {
  const out = Buffer.alloc(headerBytes);
  request.copy(out, 0, 0, 2);
  out.writeUInt16BE(headerFlag.QR | (request.readUInt16BE(2) & (opcodeMask | headerFlag.RD)) | code, 2);
  return out;
}
