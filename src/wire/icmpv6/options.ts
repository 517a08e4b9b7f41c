import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { type Mac, macFromBytes, macToBytes } from "../../base/mac.ts";
import { makePrefix, type Prefix, prefixAddress, prefixLength } from "../../base/prefix.ts";
import { bufferOf } from "../dhcp/codecs.ts";
import { nameFromText, nameToBytes, nameToText, readName } from "../dns/name.ts";

/** Options of neighbour discovery; times are seconds, 0xffffffff is for ever. */
export type NeighbourOption =
  | { kind: "source-mac"; mac: Mac }
  | {
      kind: "prefix";
      prefix: Prefix;
      /** Hosts of the prefix are reached without the router. */ onLink: boolean;
      /** Hosts make an address of their own from it (RFC 4862). */ autonomous: boolean;
      validSeconds: number;
      preferredSeconds: number;
    }
  | { kind: "mtu"; mtuBytes: number }
  | { kind: "route"; prefix: Prefix; lifetimeSeconds: number }
  | { kind: "dns-servers"; servers: readonly Ipv6[]; lifetimeSeconds: number }
  | { kind: "dns-search"; domains: readonly string[]; lifetimeSeconds: number }
  /** Kept as it came, padding included. */
  | { kind: "other"; type: number; data: Uint8Array };

/** The options that fill the rest of a message. @throws WireError */
export function decodeNeighbourOptions(bytes: Uint8Array): NeighbourOption[] {
  const options: NeighbourOption[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 8 * (bytes[at + 1] ?? 0);
    // RFC 4861 §4.6: a length of zero would never end.
    if (length === 0 || at + length > bytes.length) throw new WireError("icmpv6 option", "its length does not fit", at);
    options.push(decodeOne(bufferOf(bytes.subarray(at, at + length))));
    at += length;
  }
  return options;
}

/** One option with its header, padded to 8 bytes. @throws WireError when it does not fit */
export function encodeNeighbourOption(option: NeighbourOption): Uint8Array {
  switch (option.kind) {
    case "source-mac":
      return padded(type.sourceMac, macToBytes(option.mac));
    case "prefix": {
      const flags = (option.onLink ? flagOnLink : 0) | (option.autonomous ? flagAutonomous : 0);
      const times = [u32(option.validSeconds), u32(option.preferredSeconds), u32(0)];
      return padded(type.prefix, Uint8Array.of(prefixLength(option.prefix), flags), ...times, ipToBytes(prefixAddress(option.prefix)));
    }
    case "mtu":
      return padded(type.mtu, reserved, u32(option.mtuBytes));
    case "route": {
      const length = prefixLength(option.prefix);
      const significant = ipToBytes(prefixAddress(option.prefix)).subarray(0, 8 * Math.ceil(length / 64));
      return padded(type.route, Uint8Array.of(length, 0), u32(option.lifetimeSeconds), significant);
    }
    case "dns-servers":
      return padded(type.dnsServers, reserved, u32(option.lifetimeSeconds), ...option.servers.map(ipToBytes));
    case "dns-search":
      return padded(type.dnsSearch, reserved, u32(option.lifetimeSeconds), ...option.domains.map((d) => nameToBytes(nameFromText(d))));
    case "other":
      return padded(option.type, option.data);
  }
}

function decodeOne(bytes: Buffer): NeighbourOption {
  const kind = bytes.readUInt8(0);
  const fits = (length: number): boolean => bytes.length === length;
  // A known option of an odd size is another's business, not a reason to refuse the message (RFC 4861 §4.6 only bans zero).
  if (kind === type.sourceMac && fits(8)) return { kind: "source-mac", mac: macFromBytes(bytes.subarray(2, 8)) };
  if (kind === type.mtu && fits(8)) return { kind: "mtu", mtuBytes: bytes.readUInt32BE(4) };
  if (kind === type.prefix && fits(32)) {
    return {
      kind: "prefix",
      prefix: readPrefix(bytes.subarray(16, 32), bytes.readUInt8(2)),
      onLink: (bytes.readUInt8(3) & flagOnLink) !== 0,
      autonomous: (bytes.readUInt8(3) & flagAutonomous) !== 0,
      validSeconds: bytes.readUInt32BE(4),
      preferredSeconds: bytes.readUInt32BE(8),
    };
  }
  if (kind === type.route && bytes.length <= 24 && 8 * bytes.readUInt8(2) <= 64 * (bytes.length - 8))
    return { kind: "route", prefix: readPrefix(bytes.subarray(8), bytes.readUInt8(2)), lifetimeSeconds: bytes.readUInt32BE(4) };
  if (kind === type.dnsServers && bytes.length >= 24 && bytes.length % 16 === 8) {
    const count = (bytes.length - 8) / 16;
    const servers = Array.from({ length: count }, (_, i) => ipFromBytes(bytes.subarray(8 + 16 * i, 24 + 16 * i)) as Ipv6);
    return { kind: "dns-servers", servers, lifetimeSeconds: bytes.readUInt32BE(4) };
  }
  if (kind === type.dnsSearch && bytes.length >= 16)
    return { kind: "dns-search", domains: readDomains(bytes.subarray(8)), lifetimeSeconds: bytes.readUInt32BE(4) };
  return { kind: "other", type: kind, data: Uint8Array.from(bytes.subarray(2)) };
}

function readPrefix(bytes: Uint8Array, length: number): Prefix {
  if (length > 128) throw new WireError("icmpv6 option", `prefix length ${length} is not within 0-128`);
  const address = new Uint8Array(16);
  address.set(bytes);
  return makePrefix(ipFromBytes(address), length);
}

/** Names up to the padding, which is zeros: the root's name, of no use in a search list. */
function readDomains(bytes: Buffer): string[] {
  const domains: string[] = [];
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    const { name, next } = readName(bytes, at);
    domains.push(nameToText(name));
    at = next;
  }
  return domains;
}

function padded(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 2);
  const units = Math.ceil(length / 8);
  if (units > 255) throw new WireError("icmpv6 option", `${length} bytes do not fit`);
  const out = Buffer.alloc(8 * units);
  out.set([kind, units]);
  out.set(Buffer.concat(parts), 2);
  return out;
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** RFC 4861 §4.6, RFC 4191 §2.3, RFC 8106 §5. */
const type = { sourceMac: 1, prefix: 3, mtu: 5, route: 24, dnsServers: 25, dnsSearch: 31 } as const;
const flagOnLink = 0x80;
const flagAutonomous = 0x40;
const reserved = new Uint8Array(2);
