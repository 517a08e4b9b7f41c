import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv4 } from "../../base/ipv4.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { unreachable } from "../../base/exhaustive.ts";
import { type DnsName, nameToBytes, readName } from "./name.ts";
import { recordType } from "./numbers.ts";
import type { MessageWriter } from "./writer.ts";

/** What a record says. `opaque` is any type we have no words for, kept byte for byte with its names expanded. */
export type RecordData =
  | { kind: "A"; address: Ipv4 }
  | { kind: "AAAA"; address: Ipv6 }
  | { kind: "CNAME" | "PTR" | "NS" | "DNAME"; target: DnsName }
  | { kind: "MX"; preference: number; exchange: DnsName }
  | { kind: "SRV"; priority: number; weight: number; port: number; target: DnsName }
  | { kind: "SOA"; primary: DnsName; mailbox: DnsName; serial: number; refresh: number; retry: number; expire: number; minimum: number }
  | { kind: "TXT"; strings: Uint8Array[] }
  | { kind: "opaque"; type: number; bytes: Uint8Array };

/** Types with names inside that old servers compress (RFC 3597 §4): bytes, counted strings and names in their order. */
const embeddedNames: ReadonlyMap<number, readonly (number | "name" | "string")[]> = new Map([
  [3, ["name"]],
  [4, ["name"]],
  [7, ["name"]],
  [8, ["name"]],
  [9, ["name"]],
  [14, ["name", "name"]],
  [17, ["name", "name"]],
  [18, [2, "name"]],
  [21, [2, "name"]],
  [24, [18, "name"]],
  [26, [2, "name", "name"]],
  [30, ["name"]],
  [35, [4, "string", "string", "string", "name"]],
  [36, [2, "name"]],
]);

export function dataType(data: RecordData): number {
  return data.kind === "opaque" ? data.type : recordType[data.kind];
}

/** The data between two offsets of a message; all of it must be used. @throws WireError */
export function readData(bytes: Buffer, type: number, range: { start: number; end: number }): RecordData {
  const { start, end } = range;
  const size = end - start;
  /** Reads at `at` are checked against the data's end by `finish`; a read past the message throws by itself. */
  const nameAt = (at: number) => readName(bytes, at);
  switch (type) {
    case recordType.A:
      if (size !== 4) throw new WireError("A", `has ${size} bytes instead of 4`, start);
      return { kind: "A", address: ipFromBytes(bytes.subarray(start, end)) as Ipv4 };
    case recordType.AAAA:
      if (size !== 16) throw new WireError("AAAA", `has ${size} bytes instead of 16`, start);
      return { kind: "AAAA", address: ipFromBytes(bytes.subarray(start, end)) as Ipv6 };
    case recordType.CNAME:
    case recordType.PTR:
    case recordType.NS:
    case recordType.DNAME: {
      const target = nameAt(start);
      finish(target.next, end);
      return { kind: nameKind(type), target: target.name };
    }
    case recordType.MX: {
      need(size, 3, start);
      const exchange = nameAt(start + 2);
      finish(exchange.next, end);
      return { kind: "MX", preference: bytes.readUInt16BE(start), exchange: exchange.name };
    }
    case recordType.SRV: {
      need(size, 7, start);
      const target = nameAt(start + 6);
      finish(target.next, end);
      return {
        kind: "SRV",
        priority: bytes.readUInt16BE(start),
        weight: bytes.readUInt16BE(start + 2),
        port: bytes.readUInt16BE(start + 4),
        target: target.name,
      };
    }
    case recordType.SOA: {
      const primary = nameAt(start);
      const mailbox = nameAt(primary.next);
      finish(mailbox.next + 20, end);
      const [serial, refresh, retry, expire, minimum] = [0, 4, 8, 12, 16].map((o) => bytes.readUInt32BE(mailbox.next + o)) as [
        number,
        number,
        number,
        number,
        number,
      ];
      return { kind: "SOA", primary: primary.name, mailbox: mailbox.name, serial, refresh, retry, expire, minimum };
    }
    case recordType.TXT:
      return { kind: "TXT", strings: readStrings(bytes, start, end) };
    default:
      return { kind: "opaque", type, bytes: readOpaque(bytes, type, range) };
  }
}

/** Writes the data without its length. */
export function writeData(out: MessageWriter, data: RecordData): void {
  switch (data.kind) {
    case "A":
    case "AAAA":
      return out.bytes(ipToBytes(data.address));
    case "CNAME":
    case "PTR":
    case "NS":
      return out.name(data.target);
    case "DNAME":
      return out.plainName(data.target);
    case "MX":
      out.u16(data.preference);
      return out.name(data.exchange);
    case "SRV":
      for (const value of [data.priority, data.weight, data.port]) out.u16(value);
      return out.plainName(data.target);
    case "SOA":
      out.name(data.primary);
      out.name(data.mailbox);
      for (const value of [data.serial, data.refresh, data.retry, data.expire, data.minimum]) out.u32(value);
      return;
    case "TXT":
      for (const string of data.strings) {
        if (string.length > 255) throw new WireError("TXT", "a string has more than 255 bytes");
        out.u8(string.length);
        out.bytes(string);
      }
      return;
    case "opaque":
      return out.bytes(data.bytes);
    default:
      unreachable(data);
  }
}

function nameKind(type: 2 | 5 | 12 | 39): "CNAME" | "PTR" | "NS" | "DNAME" {
  switch (type) {
    case 2:
      return "NS";
    case 5:
      return "CNAME";
    case 12:
      return "PTR";
    case 39:
      return "DNAME";
    default:
      return unreachable(type);
  }
}

function readStrings(bytes: Buffer, start: number, end: number): Uint8Array[] {
  const strings: Uint8Array[] = [];
  let at = start;
  while (at < end) {
    const next = at + 1 + (bytes[at] ?? 0);
    if (next > end) throw new WireError("TXT", "string runs past the record", at);
    strings.push(Uint8Array.from(bytes.subarray(at + 1, next)));
    at = next;
  }
  return strings;
}

function readOpaque(bytes: Buffer, type: number, { start, end }: { start: number; end: number }): Uint8Array {
  const layout = embeddedNames.get(type);
  if (layout === undefined || start === end) return Uint8Array.from(bytes.subarray(start, end));
  const parts: Uint8Array[] = [];
  let at = start;
  for (const part of layout) {
    if (part === "name") {
      const { name, next } = readName(bytes, at);
      parts.push(nameToBytes(name));
      at = next;
    } else {
      const next = at + (part === "string" ? 1 + (bytes[at] ?? 0) : part);
      parts.push(bytes.subarray(at, next));
      at = next;
    }
    if (at > end) throw new WireError(`type ${type}`, "runs past the record", at);
  }
  parts.push(bytes.subarray(at, end));
  return Uint8Array.from(Buffer.concat(parts));
}

function need(size: number, least: number, at: number): void {
  if (size < least) throw new WireError("record", `has ${size} bytes of data, at least ${least} are needed`, at);
}

function finish(at: number, end: number): void {
  if (at !== end) throw new WireError("record", at > end ? "data runs past the record" : "has bytes left over", at);
}
