import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv6 } from "../../base/ipv6.ts";
import { bufferOf } from "../dhcp/codecs.ts";
import { nameFromText, nameToBytes, nameToText, readName } from "../dns/name.ts";

/** Codes of RFC 8415 §21, RFC 3646 (DNS) and RFC 4242 (refresh). */
export const dhcp6Option = {
  clientId: 1,
  serverId: 2,
  nonTemporary: 3,
  temporary: 4,
  address: 5,
  optionRequest: 6,
  preference: 7,
  elapsed: 8,
  status: 13,
  rapidCommit: 14,
  dnsServers: 23,
  domains: 24,
  prefixes: 25,
  refresh: 32,
} as const;

/** Times are seconds unless said otherwise. Options may come more than once, so a message has a list of them. */
export type Dhcp6Option =
  | { kind: "client-id"; duid: Uint8Array }
  | { kind: "server-id"; duid: Uint8Array }
  /** IA_NA and IA_PD: what the client wants an address or prefix for. `renew` and `rebind` are T1 and T2. */
  | { kind: "non-temporary"; id: number; renewSeconds: number; rebindSeconds: number; options: readonly Dhcp6Option[] }
  | { kind: "prefixes"; id: number; renewSeconds: number; rebindSeconds: number; options: readonly Dhcp6Option[] }
  | { kind: "temporary"; id: number; options: readonly Dhcp6Option[] }
  | { kind: "address"; address: Ipv6; preferredSeconds: number; validSeconds: number; options: readonly Dhcp6Option[] }
  | { kind: "option-request"; codes: readonly number[] }
  | { kind: "preference"; value: number }
  /** Hundredths of a second. */
  | { kind: "elapsed"; hundredths: number }
  | { kind: "status"; code: number; text: string }
  | { kind: "rapid-commit" }
  | { kind: "dns-servers"; servers: readonly Ipv6[] }
  | { kind: "domains"; domains: readonly string[] }
  | { kind: "refresh"; seconds: number }
  /** Kept as it came. */
  | { kind: "other"; code: number; data: Uint8Array };

/** @throws WireError */
export function decodeDhcp6Options(bytes: Uint8Array, depth = 0): Dhcp6Option[] {
  // An address within an association with a status within it: nothing real goes deeper.
  if (depth > 3) throw new WireError("dhcpv6", "options lie too deep in each other");
  const input = bufferOf(bytes);
  const options: Dhcp6Option[] = [];
  for (let at = 0; at < input.length;) {
    if (at + 4 > input.length) throw new WireError("dhcpv6", "an option header runs past the end", at);
    const end = at + 4 + input.readUInt16BE(at + 2);
    if (end > input.length) throw new WireError("dhcpv6", `option ${input.readUInt16BE(at)} runs past the end`, at);
    options.push(decodeOne(input.readUInt16BE(at), input.subarray(at + 4, end), depth));
    at = end;
  }
  return options;
}

/** @throws WireError when a value has no form on the wire */
export function encodeDhcp6Options(options: readonly Dhcp6Option[]): Buffer {
  return Buffer.concat(
    options.flatMap((option) => {
      const { code, data } = encodeOne(option);
      if (data.length > 0xffff) throw new WireError("dhcpv6", `option ${code} has ${data.length} bytes`);
      return [Uint8Array.of(code >>> 8, code, data.length >>> 8, data.length), data];
    }),
  );
}

function decodeOne(code: number, data: Buffer, depth: number): Dhcp6Option {
  const inner = (from: number) => decodeDhcp6Options(data.subarray(from), depth + 1);
  switch (code) {
    case dhcp6Option.clientId:
      return { kind: "client-id", duid: duidOf(data) };
    case dhcp6Option.serverId:
      return { kind: "server-id", duid: duidOf(data) };
    case dhcp6Option.nonTemporary:
    case dhcp6Option.prefixes: {
      atLeast(data, 12, code);
      const kind = code === dhcp6Option.prefixes ? "prefixes" : "non-temporary";
      return {
        kind,
        id: data.readUInt32BE(0),
        renewSeconds: data.readUInt32BE(4),
        rebindSeconds: data.readUInt32BE(8),
        options: inner(12),
      };
    }
    case dhcp6Option.temporary:
      return { kind: "temporary", id: atLeast(data, 4, code).readUInt32BE(0), options: inner(4) };
    case dhcp6Option.address: {
      const address = ipFromBytes(atLeast(data, 24, code).subarray(0, 16)) as Ipv6;
      return { kind: "address", address, preferredSeconds: data.readUInt32BE(16), validSeconds: data.readUInt32BE(20), options: inner(24) };
    }
    case dhcp6Option.optionRequest:
      if (data.length % 2 !== 0) throw new WireError("dhcpv6", "an option request has half a code");
      return { kind: "option-request", codes: Array.from({ length: data.length / 2 }, (_, i) => data.readUInt16BE(2 * i)) };
    case dhcp6Option.preference:
      return { kind: "preference", value: exactly(data, 1, code).readUInt8(0) };
    case dhcp6Option.elapsed:
      return { kind: "elapsed", hundredths: exactly(data, 2, code).readUInt16BE(0) };
    case dhcp6Option.status:
      return { kind: "status", code: atLeast(data, 2, code).readUInt16BE(0), text: data.toString("utf8", 2) };
    case dhcp6Option.rapidCommit:
      exactly(data, 0, code);
      return { kind: "rapid-commit" };
    case dhcp6Option.dnsServers:
      if (data.length % 16 !== 0) throw new WireError("dhcpv6", `${data.length} bytes are no list of addresses`);
      return { kind: "dns-servers", servers: addressesOf(data) };
    case dhcp6Option.domains:
      return { kind: "domains", domains: domainsOf(data) };
    case dhcp6Option.refresh:
      return { kind: "refresh", seconds: exactly(data, 4, code).readUInt32BE(0) };
    default:
      return { kind: "other", code, data: Uint8Array.from(data) };
  }
}

function encodeOne(option: Dhcp6Option): { code: number; data: Uint8Array } {
  const inner = (options: readonly Dhcp6Option[], ...words: number[]) => Buffer.concat([...words.map(u32), encodeDhcp6Options(options)]);
  switch (option.kind) {
    case "client-id":
      return { code: dhcp6Option.clientId, data: option.duid };
    case "server-id":
      return { code: dhcp6Option.serverId, data: option.duid };
    case "non-temporary":
      return { code: dhcp6Option.nonTemporary, data: inner(option.options, option.id, option.renewSeconds, option.rebindSeconds) };
    case "prefixes":
      return { code: dhcp6Option.prefixes, data: inner(option.options, option.id, option.renewSeconds, option.rebindSeconds) };
    case "temporary":
      return { code: dhcp6Option.temporary, data: inner(option.options, option.id) };
    case "address": {
      const times = inner(option.options, option.preferredSeconds, option.validSeconds);
      return { code: dhcp6Option.address, data: Buffer.concat([ipToBytes(option.address), times]) };
    }
    case "option-request":
      return { code: dhcp6Option.optionRequest, data: Buffer.concat(option.codes.map(u16)) };
    case "preference":
      return { code: dhcp6Option.preference, data: Uint8Array.of(option.value) };
    case "elapsed":
      return { code: dhcp6Option.elapsed, data: u16(option.hundredths) };
    case "status":
      return { code: dhcp6Option.status, data: Buffer.concat([u16(option.code), Buffer.from(option.text)]) };
    case "rapid-commit":
      return { code: dhcp6Option.rapidCommit, data: new Uint8Array(0) };
    case "dns-servers":
      return { code: dhcp6Option.dnsServers, data: Buffer.concat(option.servers.map(ipToBytes)) };
    case "domains":
      return { code: dhcp6Option.domains, data: Buffer.concat(option.domains.map((domain) => nameToBytes(nameFromText(domain)))) };
    case "refresh":
      return { code: dhcp6Option.refresh, data: u32(option.seconds) };
    case "other":
      return { code: option.code, data: option.data };
  }
}

/** RFC 8415 §11.1: a type and 1 to 128 bytes. */
function duidOf(data: Buffer): Uint8Array {
  if (data.length < 3 || data.length > 130) throw new WireError("dhcpv6", `a DUID has 3-130 bytes, not ${data.length}`);
  return Uint8Array.from(data);
}

function addressesOf(data: Buffer): Ipv6[] {
  return Array.from({ length: data.length / 16 }, (_, i) => ipFromBytes(data.subarray(16 * i, 16 * i + 16)) as Ipv6);
}

function domainsOf(data: Buffer): string[] {
  const domains: string[] = [];
  for (let at = 0; at < data.length;) {
    const { name, next } = readName(data, at);
    domains.push(nameToText(name));
    at = next;
  }
  return domains;
}

function atLeast(data: Buffer, length: number, code: number): Buffer {
  if (data.length < length) throw new WireError("dhcpv6", `option ${code} has ${data.length} bytes, at least ${length} are wanted`);
  return data;
}

function exactly(data: Buffer, length: number, code: number): Buffer {
  if (data.length !== length) throw new WireError("dhcpv6", `option ${code} has ${data.length} bytes, not ${length}`);
  return data;
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
