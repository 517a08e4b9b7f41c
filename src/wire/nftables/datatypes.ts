import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import { parseIpv6 } from "../../base/ipv6.ts";
import { WireError } from "../../base/errors.ts";

/** How values of one kind look in registers and set keys, and what nft calls them. */
export type TypeDefinition = {
  /** The word after `type` in nft text. */
  nft: string;
  /** nft's own number of the type (nftables include/datatype.h), stored by the kernel for listings only. */
  number: number;
  /** Bytes, before padding to a register. */
  length: number;
  /** Numbers in host order sort wrongly byte by byte, so they cannot be ranges without a conversion. */
  order: "network" | "host" | "none";
  symbols?: Readonly<Record<string, number>>;
  form: "number" | "ipv4" | "ipv6" | "mac" | "name";
};

/** Every type of a field or set key; a superset of the model's `DataType`. */
export type ValueType = keyof typeof dataTypes;

const protocols = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  "ipv6-icmp": 58,
  sctp: 132,
  udplite: 136,
} as const;
const icmpTypes = { "echo-reply": 0, "destination-unreachable": 3, redirect: 5, "echo-request": 8, "time-exceeded": 11 } as const;
const icmpv6Types = {
  "destination-unreachable": 1,
  "packet-too-big": 2,
  "time-exceeded": 3,
  "parameter-problem": 4,
  "echo-request": 128,
  "echo-reply": 129,
  "mld-listener-query": 130,
  "mld-listener-report": 131,
  "mld-listener-done": 132,
  "nd-router-solicit": 133,
  "nd-router-advert": 134,
  "nd-neighbor-solicit": 135,
  "nd-neighbor-advert": 136,
  "nd-redirect": 137,
  "mld2-listener-report": 143,
} as const;
const ctStates = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** uapi nf_conntrack_common.h IPS_*. */
const ctStatuses = { expected: 1, "seen-reply": 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 } as const;
/** RFC 9293 §3.1. */
const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;
/** uapi rtnetlink.h RTN_*. */
const addressTypes = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;

export const dataTypes = {
  ipv4_addr: { nft: "ipv4_addr", number: 7, length: 4, order: "network", form: "ipv4" },
  ipv6_addr: { nft: "ipv6_addr", number: 8, length: 16, order: "network", form: "ipv6" },
  ether_addr: { nft: "ether_addr", number: 9, length: 6, order: "network", form: "mac" },
  inet_proto: { nft: "inet_proto", number: 12, length: 1, order: "network", form: "number", symbols: protocols },
  inet_service: { nft: "inet_service", number: 13, length: 2, order: "network", form: "number" },
  ifname: { nft: "ifname", number: 41, length: 16, order: "none", form: "name" },
  mark: { nft: "mark", number: 19, length: 4, order: "host", form: "number" },
  ether_type: {
    nft: "ether_type",
    number: 10,
    length: 2,
    order: "network",
    form: "number",
    symbols: { ip: 0x0800, arp: 0x0806, vlan: 0x8100, ip6: 0x86dd },
  },
  devgroup: { nft: "devgroup", number: 35, length: 4, order: "host", form: "number" },
  uid: { nft: "uid", number: 24, length: 4, order: "host", form: "number" },
  ct_state: { nft: "ct_state", number: 26, length: 4, order: "host", form: "number", symbols: ctStates },
  ct_status: { nft: "ct_status", number: 28, length: 4, order: "host", form: "number", symbols: ctStatuses },
  nf_proto: { nft: "nf_proto", number: 2, length: 1, order: "network", form: "number", symbols: { ipv4: 2, ipv6: 10 } },
  arp_op: { nft: "arp_op", number: 11, length: 2, order: "network", form: "number", symbols: { request: 1, reply: 2 } },
  icmp_type: { nft: "icmp_type", number: 14, length: 1, order: "network", form: "number", symbols: icmpTypes },
  icmpv6_type: { nft: "icmpv6_type", number: 29, length: 1, order: "network", form: "number", symbols: icmpv6Types },
  tcp_flag: { nft: "tcp_flag", number: 15, length: 1, order: "network", form: "number", symbols: tcpFlags },
  fib_addrtype: { nft: "fib_addrtype", number: 38, length: 4, order: "host", form: "number", symbols: addressTypes },
} as const satisfies Record<string, TypeDefinition>;

export function typeOf(name: ValueType): TypeDefinition {
  return dataTypes[name];
}

/** Bytes a value of the type takes in a register or a concatenated key: whole 32-bit words. */
export function paddedLength(name: ValueType): number {
  return (dataTypes[name].length + 3) & ~3;
}

/** The number a concatenation has: six bits per part, the last lowest. */
export function concatNumber(parts: readonly ValueType[]): number {
  return parts.reduce((value, part) => value * 64 + dataTypes[part].number, 0);
}

/** The parts behind nft's number of a type; undefined when one is none of ours. */
export function splitNumber(number: number): ValueType[] | undefined {
  const parts: ValueType[] = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 64)) {
    const part = byNumber.get(rest % 64);
    if (part === undefined) return undefined;
    parts.unshift(part);
  }
  return parts.length === 0 ? undefined : parts;
}

/** Writes one value at an offset; the rest of its padded space must be zero already. @throws WireError */
export function writeValue(out: Uint8Array, at: number, value: string | number, name: ValueType): void {
  const type: TypeDefinition = dataTypes[name];
  switch (type.form) {
    case "number":
      writeNumber(out, at, numberOf(value, name), type);
      return;
    case "ipv4":
      if (typeof value !== "string" || !writeDotted(out, at, value)) throw refuse(name, value);
      return;
    case "ipv6": {
      const address = typeof value === "string" ? parseIpv6(value) : undefined;
      if (address === undefined) throw refuse(name, value);
      out.set(ipToBytes(address), at);
      return;
    }
    case "mac":
      if (typeof value !== "string" || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value)) throw refuse(name, value);
      for (let i = 0; i < 6; i++) out[at + i] = Number.parseInt(value.slice(3 * i, 3 * i + 2), 16);
      return;
    case "name":
      writeName(out, at, value);
      return;
  }
}

/** The value in a buffer of its own, not padded. @throws WireError */
export function encodeValue(value: string | number, name: ValueType): Uint8Array {
  const out = new Uint8Array(dataTypes[name].length);
  writeValue(out, 0, value, name);
  return out;
}

/** The canonical value: text for addresses and names, a number for all else. @throws WireError when the bytes are too few or no name */
export function readValue(bytes: Uint8Array, at: number, name: ValueType): string | number {
  const type: TypeDefinition = dataTypes[name];
  if (at + type.length > bytes.length) throw new WireError(`nftables ${name}`, `has ${bytes.length - at} bytes instead of ${type.length}`);
  const part = bytes.subarray(at, at + type.length);
  switch (type.form) {
    case "number": {
      let value = 0;
      for (let i = 0; i < part.length; i++) value = value * 256 + (part[type.order === "host" ? part.length - 1 - i : i] ?? 0);
      return value;
    }
    case "ipv4":
    case "ipv6":
      return ipFromBytes(part);
    case "mac":
      return readMac(part);
    case "name": {
      const end = part.indexOf(0);
      return Buffer.from(end === -1 ? part : part.subarray(0, end)).toString("latin1");
    }
  }
}

/** The number a symbol or number stands for. @throws WireError */
export function numberOf(value: string | number, name: ValueType): number {
  const type: TypeDefinition = dataTypes[name];
  const number = typeof value === "number" ? value : (type.symbols?.[value] ?? aliases[value]);
  if (number === undefined || !Number.isInteger(number) || number < 0 || number >= 256 ** type.length) throw refuse(name, value);
  return number;
}

/** The symbol nft writes for a number, or the number itself. */
export function symbolOf(value: string | number, name: ValueType): string {
  const type: TypeDefinition = dataTypes[name];
  if (type.form !== "number") return String(value);
  const number = numberOf(value, name);
  for (const [symbol, n] of Object.entries(type.symbols ?? {})) if (n === number) return symbol;
  return String(number);
}

const byNumber: ReadonlyMap<number, ValueType> = new Map(
  Object.entries(dataTypes).map(([name, { number }]) => [number, name as ValueType]),
);

/** Spellings people use besides nft's own. */
const aliases: Readonly<Record<string, number>> = { icmpv6: 58, icmp6: 58, "8021q": 0x8100 };

/** Both supported machines (x86-64, arm64) are little-endian, so host order is fixed. */
function writeNumber(out: Uint8Array, at: number, value: number, type: TypeDefinition): void {
  let rest = value;
  for (let i = 0; i < type.length; i++) {
    out[type.order === "host" ? at + i : at + type.length - 1 - i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** Checks and writes in one pass, as parseIpv4 would but several times faster: sets have tens of thousands of these. */
function writeDotted(out: Uint8Array, at: number, text: string): boolean {
  let octets = 0;
  let octet = 0;
  let digits = 0;
  for (let c = 0; c <= text.length; c++) {
    const code = c === text.length ? dot : text.charCodeAt(c);
    if (code === dot) {
      if (digits === 0 || octet > 255 || octets === 4) return false;
      out[at + octets++] = octet;
      octet = 0;
      digits = 0;
    } else {
      if (code < 48 || code > 57 || digits === 3 || (digits > 0 && octet === 0)) return false;
      octet = octet * 10 + code - 48;
      digits++;
    }
  }
  return octets === 4;
}

const dot = 46;

const hexOctets: readonly string[] = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));

function readMac(part: Uint8Array): string {
  let text = hexOctets[part[0] ?? 0] ?? "";
  for (let i = 1; i < 6; i++) text += `:${hexOctets[part[i] ?? 0]}`;
  return text;
}

function writeName(out: Uint8Array, at: number, value: string | number): void {
  if (typeof value !== "string" || value === "" || value.length > 15) throw refuse("ifname", value);
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code > 126) throw refuse("ifname", value);
    out[at + i] = code;
  }
}

function refuse(name: ValueType, value: unknown): WireError {
  return new WireError(`nftables ${name}`, `cannot hold ${JSON.stringify(value)}`);
}
