import type { Ip } from "../../base/ip.ts";
import { ipFromBytes } from "../../base/ip.ts";

/** SOCKS version 5 (RFC 1928), the side of a proxy. */
export const socksVersion = 5;

/** Reply codes, RFC 1928 §6. */
export const socksReply = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  hostUnreachable: 4,
  refused: 5,
  commandUnknown: 7,
  addressUnknown: 8,
} as const;

export type SocksReply = (typeof socksReply)[keyof typeof socksReply];

export type Greeting = { kind: "greeting"; anonymous: boolean; length: number } | { kind: "more" } | { kind: "fault"; problem: string };

const methodNone = 0;

/** Which ways to sign in the client offers; `anonymous` when "none" is among them. */
export function readGreeting(bytes: Buffer): Greeting {
  const [version, count] = bytes;
  if (version !== undefined && version !== socksVersion) return { kind: "fault", problem: `SOCKS version ${version} is not 5` };
  if (count === undefined) return { kind: "more" };
  if (count === 0) return { kind: "fault", problem: "SOCKS: no way to sign in is offered" };
  const length = 2 + count;
  if (bytes.length < length) return { kind: "more" };
  return { kind: "greeting", anonymous: bytes.subarray(2, length).includes(methodNone), length };
}

/** `host` are the bytes of a domain name, of any value, as they came. */
export type SocksRequest =
  | { kind: "request"; to: { host: Buffer } | { address: Ip }; port: number; length: number }
  | { kind: "more" }
  | { kind: "fault"; problem: string; reply: SocksReply };

const commandConnect = 1;
const addressLength: Record<number, number> = { 1: 4, 4: 16 };
const typeDomain = 3;

export function readSocksRequest(bytes: Buffer): SocksRequest {
  const [version, command, reserved, type] = bytes;
  if (version !== undefined && version !== socksVersion) return fault(`SOCKS version ${version} is not 5`, socksReply.failure);
  if (command !== undefined && command !== commandConnect)
    return fault(`SOCKS command ${commandName(command)} is not offered`, socksReply.commandUnknown);
  if (reserved !== undefined && reserved !== 0) return fault("SOCKS: the reserved byte is not 0", socksReply.failure);
  if (type === undefined) return { kind: "more" };
  const start = type === typeDomain ? 5 : 4;
  const size = type === typeDomain ? bytes[4] : addressLength[type];
  if (size === undefined)
    return type === typeDomain ? { kind: "more" } : fault(`SOCKS address type ${type} is unknown`, socksReply.addressUnknown);
  const length = start + size + 2;
  if (bytes.length < length) return { kind: "more" };
  const host = Buffer.from(bytes.subarray(start, start + size));
  const to = type === typeDomain ? { host } : { address: ipFromBytes(host) };
  return { kind: "request", to, port: bytes.readUInt16BE(length - 2), length };
}

/** The bound address is of no use to a client and tells about this host, so it is 0.0.0.0:0. */
export function socksReplyBytes(reply: SocksReply): Buffer {
  return Buffer.of(socksVersion, reply, 0, 1, 0, 0, 0, 0, 0, 0);
}

/** The answer to a greeting: no sign-in, or (0xff) none that is acceptable. */
export function greetingReply(accepted: boolean): Buffer {
  return Buffer.of(socksVersion, accepted ? methodNone : 0xff);
}

function fault(problem: string, reply: SocksReply): SocksRequest {
  return { kind: "fault", problem, reply };
}

function commandName(command: number): string {
  return command === 2 ? "BIND" : command === 3 ? "UDP ASSOCIATE" : String(command);
}
