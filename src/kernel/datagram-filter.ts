import { type IpFamily, type Ip, ipFamily, ipToBytes } from "../base/ip.ts";

/** Addresses a filter may name: what fits comfortably into the kernel's 4,096 instructions. */
export const maxFilterSources = 64;

/**
 * A classic BPF program (struct sock_filter, include/uapi/linux/filter.h) for a UDP socket of one family that drops packets
 * from the given addresses and passes all others. Addresses of the other family are left out.
 */
export function sourceFilter(family: IpFamily, sources: readonly Ip[]): Uint8Array {
  const wanted = sources.filter((source) => ipFamily(source) === family).slice(0, maxFilterSources);
  const words = family === 4 ? 1 : 4;
  const program: Instruction[] = [];
  for (const source of wanted) {
    const bytes = Buffer.from(ipToBytes(source));
    for (let i = 0; i < words; i++) {
      program.push({ code: loadWord, k: networkHeader + sourceOffset[family] + 4 * i });
      program.push({ code: jumpEqual, otherwise: 2 * (words - i) - 1, k: bytes.readUInt32BE(4 * i) });
    }
    program.push({ code: giveBack, k: 0 });
  }
  program.push({ code: giveBack, k: wholePacket });
  const out = Buffer.alloc(program.length * 8);
  program.forEach(({ code, otherwise = 0, k }, at) => {
    out.writeUInt16LE(code, at * 8);
    out.writeUInt8(otherwise, at * 8 + 3);
    out.writeUInt32LE(k, at * 8 + 4);
  });
  return out;
}

/** `otherwise`: how many instructions are skipped when a comparison fails. */
type Instruction = { code: number; otherwise?: number; k: number };

const loadWord = 0x20;
const jumpEqual = 0x15;
const giveBack = 0x06;
const wholePacket = 0xffffffff;
/** SKF_NET_OFF: offsets from here count from the IP header, although a UDP socket's own begin at the UDP header. */
const networkHeader = 0xfff00000;
const sourceOffset = { 4: 12, 6: 8 } as const;
