import { type Mac, macToBytes } from "../base/mac.ts";

/** What a packet socket on a bridge is to deliver: UDP to a port, or UDP to a port beside one ICMPv6 type. */
export type PacketWish = { protocol: "ipv4"; udpPort: number } | { protocol: "ipv6"; udpPort: number; icmpType: number };

/** MACs a filter may refuse; jumps of the program reach 255 instructions. */
export const maxRefusedMacs = 32;

/**
 * A classic BPF program (struct sock_filter, include/uapi/linux/filter.h) for a packet socket without link-layer headers
 * that passes what is wished unless it comes from a refused MAC. Fragments do not pass.
 */
export function packetFilter(wish: PacketWish, refused: readonly Mac[]): Uint8Array {
  const program = [...refused.slice(0, maxRefusedMacs).flatMap(refuse), ...pass(wish)];
  const out = Buffer.alloc((program.length + 2) * 8);
  const places = { accept: program.length, drop: program.length + 1 };
  const put = (at: number, code: number, jumps: readonly [number, number], k: number): void => {
    out.writeUInt16LE(code, at * 8);
    out.writeUInt8(jumps[0], at * 8 + 2);
    out.writeUInt8(jumps[1], at * 8 + 3);
    out.writeUInt32LE(k, at * 8 + 4);
  };
  program.forEach(({ code, k, match = 0, otherwise = 0 }, at) => {
    const distance = (to: Target) => (typeof to === "number" ? to : places[to] - at - 1);
    put(at, code, [distance(match), distance(otherwise)], k);
  });
  put(places.accept, giveBack, [0, 0], wholePacket);
  put(places.drop, giveBack, [0, 0], 0);
  return out;
}

/** The program that delivers nothing: for a socket that only holds a port. */
export function refuseAll(): Uint8Array {
  const out = Buffer.alloc(8);
  out.writeUInt16LE(giveBack, 0);
  return out;
}

function refuse(mac: Mac): Instruction[] {
  const bytes = Buffer.from(macToBytes(mac));
  return [
    { code: loadWord, k: linkHeader + sourceMac },
    { code: jumpEqual, k: bytes.readUInt32BE(0), otherwise: 2 },
    { code: loadHalf, k: linkHeader + sourceMac + 4 },
    { code: jumpEqual, k: bytes.readUInt16BE(4), match: "drop" },
  ];
}

function pass(wish: PacketWish): Instruction[] {
  if (wish.protocol === "ipv4")
    return [
      { code: loadByte, k: 9 },
      { code: jumpEqual, k: protocol.udp, otherwise: "drop" },
      { code: loadHalf, k: 6 },
      { code: jumpSet, k: moreOrOffset, match: "drop" },
      { code: loadHeaderLength, k: 0 },
      { code: loadHalfAfterHeader, k: 2 },
      { code: jumpEqual, k: wish.udpPort, match: "accept", otherwise: "drop" },
    ];
  return [
    { code: loadByte, k: 6 },
    { code: jumpEqual, k: protocol.icmp6, otherwise: 2 },
    { code: loadByte, k: ipv6Header },
    { code: jumpEqual, k: wish.icmpType, match: "accept", otherwise: "drop" },
    { code: jumpEqual, k: protocol.udp, otherwise: "drop" },
    { code: loadHalf, k: ipv6Header + 2 },
    { code: jumpEqual, k: wish.udpPort, match: "accept", otherwise: "drop" },
  ];
}

/** Where a comparison leads: so many instructions further, or to one of the two ends. */
type Target = number | "accept" | "drop";
type Instruction = { code: number; k: number; match?: Target; otherwise?: Target };

const loadWord = 0x20;
const loadHalf = 0x28;
const loadByte = 0x30;
const loadHalfAfterHeader = 0x48;
const loadHeaderLength = 0xb1;
const jumpEqual = 0x15;
const jumpSet = 0x45;
const giveBack = 0x06;
const wholePacket = 0xffffffff;
/** SKF_LL_OFF: offsets from here count from the Ethernet header. */
const linkHeader = 0xffe00000;
const sourceMac = 6;
const ipv6Header = 40;
const moreOrOffset = 0x3fff;
const protocol = { udp: 17, icmp6: 58 } as const;
