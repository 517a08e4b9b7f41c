import { WireError } from "../../base/errors.ts";
import type { ResourceRecord } from "./message.ts";
import { recordType } from "./numbers.ts";

/** The OPT record in its own words (RFC 6891 §6.1). Options (cookies and all others) are kept as they came. */
export type Edns = {
  /** The UDP payload its sender can take, bytes. */
  payloadBytes: number;
  /** Upper eight bits of the response code. */
  extendedCode: number;
  version: number;
  dnssecOk: boolean;
  options: { code: number; bytes: Uint8Array }[];
};

const dnssecOkBit = 0x8000;

export function isEdns(record: ResourceRecord): boolean {
  return record.data.kind === "opaque" && record.data.type === recordType.OPT;
}

/** @throws WireError when the record is no OPT record or its options do not add up */
export function readEdns(record: ResourceRecord): Edns {
  if (record.data.kind !== "opaque" || record.data.type !== recordType.OPT) throw new WireError("OPT", "is another record");
  if (record.name !== "") throw new WireError("OPT", "is not at the root");
  const bytes = Buffer.from(record.data.bytes);
  const options: Edns["options"] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new WireError("OPT", "option runs past the end", at);
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) throw new WireError("OPT", "option runs past the end", at);
    options.push({ code: bytes.readUInt16BE(at), bytes: Uint8Array.from(bytes.subarray(at + 4, end)) });
    at = end;
  }
  return {
    payloadBytes: record.class,
    extendedCode: record.ttl >>> 24,
    version: (record.ttl >>> 16) & 0xff,
    dnssecOk: (record.ttl & dnssecOkBit) !== 0,
    options,
  };
}

export function ednsRecord(edns: Edns): ResourceRecord {
  const options = edns.options.map(({ code, bytes }) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(code, 0);
    head.writeUInt16BE(bytes.length, 2);
    return Buffer.concat([head, bytes]);
  });
  return {
    name: "",
    class: edns.payloadBytes,
    ttl: ((edns.extendedCode << 24) | (edns.version << 16) | (edns.dnssecOk ? dnssecOkBit : 0)) >>> 0,
    data: { kind: "opaque", type: recordType.OPT, bytes: Uint8Array.from(Buffer.concat(options)) },
  };
}
