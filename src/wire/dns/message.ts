import { WireError } from "../../base/errors.ts";
import { type DnsName, readName } from "./name.ts";
import { headerBytes } from "./numbers.ts";
import { dataType, readData, type RecordData, writeData } from "./rdata.ts";
import { MessageWriter } from "./writer.ts";

export type Question = { name: DnsName; type: number; class: number };

/** `class` and `ttl` are plain numbers; for an OPT record they mean something else, see edns.ts. */
export type ResourceRecord = { name: DnsName; class: number; ttl: number; data: RecordData };

/** `flags` is the second word of the header: QR, opcode, AA … and the low four bits of the response code. */
export type Message = {
  id: number;
  flags: number;
  questions: Question[];
  answers: ResourceRecord[];
  authorities: ResourceRecord[];
  additionals: ResourceRecord[];
};

/** The message and where its parts lie, for those who patch it later. */
export type Encoded = { bytes: Buffer; answersEnd: number; ttlOffsets: number[] };

/** RFC 1035 §4.1. Bytes after the last record are ignored, as every resolver does. @throws WireError */
export function decodeMessage(input: Uint8Array): Message {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  if (bytes.length < headerBytes) throw new WireError("message", `has ${bytes.length} bytes, a header has ${headerBytes}`);
  const count = (at: number) => bytes.readUInt16BE(at);
  let at = headerBytes;
  const questions: Question[] = [];
  for (let i = count(4); i > 0; i--) {
    const { name, next } = readName(bytes, at);
    if (next + 4 > bytes.length) throw new WireError("question", "runs past the end", next);
    questions.push({ name, type: count(next), class: count(next + 2) });
    at = next + 4;
  }
  const section = (length: number): ResourceRecord[] => {
    const records: ResourceRecord[] = [];
    for (let i = length; i > 0; i--) {
      const { record, next } = readRecord(bytes, at);
      records.push(record);
      at = next;
    }
    return records;
  };
  return {
    id: count(0),
    flags: count(2),
    questions,
    answers: section(count(6)),
    authorities: section(count(8)),
    additionals: section(count(10)),
  };
}

/** @throws WireError when it would pass 65,535 bytes */
export function encodeMessage(message: Message): Encoded {
  const out = new MessageWriter();
  const ttlOffsets: number[] = [];
  out.u16(message.id);
  out.u16(message.flags);
  for (const part of [message.questions, message.answers, message.authorities, message.additionals]) {
    if (part.length > 0xffff) throw new WireError("message", "a section has more than 65535 records");
    out.u16(part.length);
  }
  for (const question of message.questions) {
    out.name(question.name);
    out.u16(question.type);
    out.u16(question.class);
  }
  const section = (records: ResourceRecord[]) => {
    for (const record of records) {
      out.name(record.name);
      out.u16(dataType(record.data));
      out.u16(record.class);
      ttlOffsets.push(out.length);
      out.u32(record.ttl);
      out.sized(() => writeData(out, record.data));
    }
  };
  section(message.answers);
  const answersEnd = out.length;
  section(message.authorities);
  section(message.additionals);
  return { bytes: out.finish(), answersEnd, ttlOffsets };
}

function readRecord(bytes: Buffer, start: number): { record: ResourceRecord; next: number } {
  const { name, next: at } = readName(bytes, start);
  if (at + 10 > bytes.length) throw new WireError("record", "runs past the end", at);
  const data = { start: at + 10, end: at + 10 + bytes.readUInt16BE(at + 8) };
  if (data.end > bytes.length) throw new WireError("record", "data runs past the end", data.start);
  const record = {
    name,
    class: bytes.readUInt16BE(at + 2),
    ttl: bytes.readUInt32BE(at + 4),
    data: readData(bytes, bytes.readUInt16BE(at), data),
  };
  return { record, next: data.end };
}
