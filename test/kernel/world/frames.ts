import { ipToBytes, parseIp } from "../../../src/base/ip.ts";
import { macToBytes, parseMac } from "../../../src/base/mac.ts";

/** Ethernet frames laid out by hand, as a guest that means harm would. */

export const broadcast = "ff:ff:ff:ff:ff:ff";
export const etherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd, vlan: 0x8100, experimental: 0x88b5 } as const;

type Ends = { from: string; to: string };

export function ethernet(mac: Ends, type: number, payload: Uint8Array): Buffer {
  return pad(Buffer.concat([bytesOfMac(mac.to), bytesOfMac(mac.from), u16(type), payload]));
}

/** RFC 1035-sized probes and longer: UDP in IPv4 (RFC 791, RFC 768). */
export function udp4(ip: Ends, ports: { from: number; to: number }, data = "probe"): Buffer {
  return ipv4(ip, 17, udp(ports, data));
}

export function tcpSyn4(ip: Ends, ports: { from: number; to: number }): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(ports.from, 0);
  segment.writeUInt16BE(ports.to, 2);
  segment.writeUInt32BE(1, 4);
  segment[12] = 0x50;
  segment[13] = 0x02;
  segment.writeUInt16BE(1024, 14);
  segment.writeUInt16BE(sum(Buffer.concat([bytesOfIp(ip.from), bytesOfIp(ip.to), Buffer.from([0, 6]), u16(segment.length), segment])), 16);
  return ipv4(ip, 6, segment);
}

export function udp6(ip: Ends, ports: { from: number; to: number }, data = "probe"): Buffer {
  return ipv6(ip, 17, udp(ports, data));
}

/** RFC 826. */
export function arp(operation: "request" | "reply", sender: { mac: string; ip: string }, target: { mac: string; ip: string }): Buffer {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, operation === "request" ? 1 : 2]);
  return Buffer.concat([head, bytesOfMac(sender.mac), bytesOfIp(sender.ip), bytesOfMac(target.mac), bytesOfIp(target.ip)]);
}

/** RFC 4861 §4.4; the option is left out when there is no MAC. */
export function neighbourAdvert(ip: Ends, target: { ip: string; mac?: string }): Buffer {
  const option = target.mac === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([2, 1]), bytesOfMac(target.mac)]);
  return icmp6(ip, Buffer.concat([Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]), bytesOfIp(target.ip), option]));
}

/** RFC 4861 §4.3. */
export function neighbourSolicit(ip: Ends, target: string): Buffer {
  return icmp6(ip, Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), bytesOfIp(target)]));
}

/** RFC 4861 §4.2, a default router for half an hour. */
export function routerAdvert(ip: Ends): Buffer {
  return icmp6(ip, Buffer.from([134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]));
}

/** RFC 4861 §4.5. */
export function redirect(ip: Ends, { target, destination }: { target: string; destination: string }): Buffer {
  return icmp6(ip, Buffer.concat([Buffer.from([137, 0, 0, 0, 0, 0, 0, 0]), bytesOfIp(target), bytesOfIp(destination)]));
}

/** A tag of IEEE 802.1Q before another frame's type and payload. */
export function tagged(id: number, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([u16(id), u16(type), payload]);
}

export function ipv6(ip: Ends, protocol: number, payload: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    u16(payload.length),
    Buffer.from([protocol, 255]),
    bytesOfIp(ip.from),
    bytesOfIp(ip.to),
    payload,
  ]);
}

function ipv4(ip: Ends, protocol: number, payload: Uint8Array): Buffer {
  const head = Buffer.concat([
    Buffer.from([0x45, 0]),
    u16(20 + payload.length),
    Buffer.from([0, 0, 0, 0, 64, protocol, 0, 0]),
    bytesOfIp(ip.from),
    bytesOfIp(ip.to),
  ]);
  head.writeUInt16BE(sum(head), 10);
  return Buffer.concat([head, payload]);
}

function icmp6(ip: Ends, message: Buffer): Buffer {
  const pseudo = Buffer.concat([
    bytesOfIp(ip.from),
    bytesOfIp(ip.to),
    Buffer.from([0, 0]),
    u16(message.length),
    Buffer.from([0, 0, 0, 58]),
    message,
  ]);
  message.writeUInt16BE(sum(pseudo), 2);
  return ipv6(ip, 58, message);
}

function udp(ports: { from: number; to: number }, data: string): Buffer {
  const payload = Buffer.from(data);
  return Buffer.concat([u16(ports.from), u16(ports.to), u16(8 + payload.length), u16(0), payload]);
}

/** RFC 1071. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

function pad(frame: Buffer): Buffer {
  return frame.length >= 60 ? frame : Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

function u16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
}

function bytesOfMac(text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac === undefined) throw new Error(`no MAC: ${text}`);
  return macToBytes(mac);
}

function bytesOfIp(text: string): Uint8Array {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`no address: ${text}`);
  return ipToBytes(ip);
}
