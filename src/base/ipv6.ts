import type { Brand } from "./brand.ts";
import { ipv4ToNumber, parseIpv4 } from "./ipv4.ts";

/** An IPv6 address in the canonical form of RFC 5952, without zone. */
export type Ipv6 = Brand<string, "Ipv6">;

const group = /^[0-9a-fA-F]{1,4}$/;

/** The canonical address, or undefined when the text is not an IPv6 address (RFC 4291 §2.2; no zone index). */
export function parseIpv6(text: string): Ipv6 | undefined {
  const value = parseValue(text);
  return value === undefined ? undefined : ipv6FromBigint(value);
}

export function ipv6ToBigint(address: Ipv6): bigint {
  const value = parseValue(address);
  if (value === undefined) throw new RangeError(`not an IPv6 address: ${address}`);
  return value;
}

/** @throws RangeError when the value does not fit 128 bits */
export function ipv6FromBigint(value: bigint): Ipv6 {
  if (value < 0n || value >= 1n << 128n) throw new RangeError(`not an IPv6 value: ${value}`);
  if (value >> 32n === 0xffffn) {
    const low = Number(value & 0xffffffffn);
    return `::ffff:${low >>> 24}.${(low >>> 16) & 255}.${(low >>> 8) & 255}.${low & 255}` as Ipv6;
  }
  const groups: number[] = [];
  for (let i = 7n; i >= 0n; i--) groups.push(Number((value >> (i * 16n)) & 0xffffn));
  const gap = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((g) => g.toString(16)).join(":");
  if (gap === undefined) return hex(groups) as Ipv6;
  return `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}` as Ipv6;
}

function parseValue(text: string): bigint | undefined {
  const body = text.includes(".") ? withoutDots(text) : text;
  if (body === undefined) return undefined;
  const halves = body.split("::");
  if (halves.length > 2) return undefined;
  const head = readGroups(halves[0]);
  const rest = halves.length === 2 ? readGroups(halves[1]) : [];
  if (head === undefined || rest === undefined) return undefined;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const g of [...head, ...Array<number>(missing).fill(0), ...rest]) value = (value << 16n) | BigInt(g);
  return value;
}

/** The dotted last 32 bits (RFC 4291 §2.2.3) as two groups, so that only one form is left to read. */
function withoutDots(text: string): string | undefined {
  const start = text.lastIndexOf(":") + 1;
  const dotted = start === 0 ? undefined : parseIpv4(text.slice(start));
  if (dotted === undefined) return undefined;
  const value = ipv4ToNumber(dotted);
  return `${text.slice(0, start)}${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

function readGroups(text: string | undefined): number[] | undefined {
  if (text === undefined || text === "") return [];
  const out: number[] = [];
  for (const part of text.split(":")) {
    if (!group.test(part)) return undefined;
    out.push(Number.parseInt(part, 16));
  }
  return out;
}

/** RFC 5952 §4.2: the first longest run of at least two zero groups is shortened. */
function longestZeroRun(groups: number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  for (let i = 0; i < groups.length; i++) {
    let n = 0;
    while (i + n < groups.length && groups[i + n] === 0) n++;
    if (n >= 2 && n > (best?.length ?? 1)) best = { start: i, length: n };
    if (n > 0) i += n - 1;
  }
  return best;
}
