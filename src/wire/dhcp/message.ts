import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv4 } from "../../base/ipv4.ts";
import { bufferOf } from "./codecs.ts";
import type { DhcpOptions } from "./options.ts";

/** Values of the messageType option (RFC 2132 §9.6). */
export const dhcpType = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;
export const dhcpOp = { request: 1, reply: 2 } as const;
export const dhcpPort = { server: 67, client: 68 } as const;

/** The top bit of `flags`: the client cannot take unicast before it has an address (RFC 2131 §2). */
export const broadcastFlag = 0x8000;

/** RFC 2131 §2 with its fields' purposes for names; ciaddr, yiaddr, siaddr and giaddr in this order. */
export type DhcpMessage = {
  op: number;
  /** IANA hardware type; 1 is Ethernet. */
  hardwareType: number;
  hops: number;
  transaction: number;
  seconds: number;
  flags: number;
  clientAddress: Ipv4;
  yourAddress: Ipv4;
  nextServer: Ipv4;
  relay: Ipv4;
  /** At most 16 bytes. */
  hardwareAddress: Uint8Array;
  /** Empty too when the field held options instead (overload, RFC 2132 §9.3). */
  serverName: string;
  bootFile: string;
  options: DhcpOptions;
};

/** A UDP payload as a message. A missing end option is borne, bytes after it are ignored. @throws WireError */
export function decodeDhcp(input: Uint8Array): DhcpMessage {
  const bytes = bufferOf(input);
  if (bytes.length < optionsAt) throw new WireError("dhcp", `has ${bytes.length} bytes, at least ${optionsAt} are wanted`);
  if (bytes.readUInt32BE(cookieAt) !== magicCookie) throw new WireError("dhcp", "has no magic cookie", cookieAt);
  const hardwareLength = bytes.readUInt8(2);
  if (hardwareLength > 16) throw new WireError("dhcp", `a hardware address of ${hardwareLength} bytes does not fit`, 2);
  const options = new Map<number, Uint8Array>();
  collect(bytes.subarray(optionsAt), { options, offset: optionsAt });
  const overload = readOverload(options);
  // RFC 3396 §5: first the options field, then file, then sname.
  if ((overload & overloadFile) !== 0) collect(bytes.subarray(fileAt, cookieAt), { options, offset: fileAt });
  if ((overload & overloadName) !== 0) collect(bytes.subarray(nameAt, fileAt), { options, offset: nameAt });
  options.delete(overloadCode);
  const address = (at: number) => ipFromBytes(bytes.subarray(at, at + 4)) as Ipv4;
  return {
    op: bytes.readUInt8(0),
    hardwareType: bytes.readUInt8(1),
    hops: bytes.readUInt8(3),
    transaction: bytes.readUInt32BE(4),
    seconds: bytes.readUInt16BE(8),
    flags: bytes.readUInt16BE(10),
    clientAddress: address(12),
    yourAddress: address(16),
    nextServer: address(20),
    relay: address(24),
    hardwareAddress: Uint8Array.from(bytes.subarray(28, 28 + hardwareLength)),
    serverName: (overload & overloadName) === 0 ? textField(bytes.subarray(nameAt, fileAt)) : "",
    bootFile: (overload & overloadFile) === 0 ? textField(bytes.subarray(fileAt, cookieAt)) : "",
    options,
  };
}

/**
 * The message as a UDP payload of at least 300 bytes, which some relays and old clients insist on (RFC 1542 §2.1).
 * Options are written in their order, long ones in parts. @throws WireError when a field does not fit
 */
export function encodeDhcp(message: DhcpMessage): Uint8Array {
  if (message.hardwareAddress.length > 16) throw new WireError("dhcp", "the hardware address has more than 16 bytes");
  const out = Buffer.alloc(Math.max(minimumBytes, optionsAt + optionsBytes(message.options) + 1));
  out.writeUInt8(message.op, 0);
  out.writeUInt8(message.hardwareType, 1);
  out.writeUInt8(message.hardwareAddress.length, 2);
  out.writeUInt8(message.hops, 3);
  out.writeUInt32BE(message.transaction, 4);
  out.writeUInt16BE(message.seconds, 8);
  out.writeUInt16BE(message.flags, 10);
  out.set(ipToBytes(message.clientAddress), 12);
  out.set(ipToBytes(message.yourAddress), 16);
  out.set(ipToBytes(message.nextServer), 20);
  out.set(ipToBytes(message.relay), 24);
  out.set(message.hardwareAddress, 28);
  putText(out.subarray(nameAt, fileAt), message.serverName);
  putText(out.subarray(fileAt, cookieAt), message.bootFile);
  out.writeUInt32BE(magicCookie, cookieAt);
  let at = optionsAt;
  for (const [code, data] of message.options) {
    if (code <= pad || code >= end) throw new WireError("dhcp", `option code ${code} is not within 1-254`);
    let from = 0;
    do {
      const part = data.subarray(from, from + 255);
      out.writeUInt8(code, at);
      out.writeUInt8(part.length, at + 1);
      out.set(part, at + 2);
      at += 2 + part.length;
      from += 255;
    } while (from < data.length);
  }
  out.writeUInt8(end, at);
  return out;
}

/** How many bytes options take on the wire, the end option not counted. */
export function optionsBytes(options: DhcpOptions): number {
  let total = 0;
  for (const data of options.values()) total += data.length + 2 * Math.max(1, Math.ceil(data.length / 255));
  return total;
}

/** The fixed part with the magic cookie. */
export const optionsAt = 240;
const minimumBytes = 300;
const nameAt = 44;
const fileAt = 108;
const cookieAt = 236;
const magicCookie = 0x63825363;
const pad = 0;
const end = 255;
const overloadCode = 52;
const overloadFile = 1;
const overloadName = 2;

/** Adds the options of one field; an option that came before is continued (RFC 3396). */
function collect(field: Buffer, into: { options: Map<number, Uint8Array>; offset: number }): void {
  for (let at = 0; at < field.length;) {
    const code = field.readUInt8(at);
    if (code === end) return;
    if (code === pad) {
      at++;
      continue;
    }
    const length = field[at + 1];
    const next = at + 2 + (length ?? 0);
    if (length === undefined || next > field.length) throw new WireError("dhcp", `option ${code} runs past the end`, into.offset + at);
    const before = into.options.get(code);
    const data = field.subarray(at + 2, next);
    into.options.set(code, before === undefined ? Uint8Array.from(data) : Uint8Array.from([...before, ...data]));
    at = next;
  }
}

function readOverload(options: DhcpOptions): number {
  const data = options.get(overloadCode);
  if (data === undefined) return 0;
  const value = data.length === 1 ? (data[0] ?? 0) : 0;
  if (value < 1 || value > 3) throw new WireError("dhcp", "option overload is not 1, 2 or 3");
  return value;
}

function textField(field: Buffer): string {
  const nul = field.indexOf(0);
  return field.toString("latin1", 0, nul === -1 ? field.length : nul);
}

function putText(field: Buffer, text: string): void {
  if (text.length > field.length) throw new WireError("dhcp", `"${text}" has more than ${field.length} bytes`);
  field.write(text, "latin1");
}
