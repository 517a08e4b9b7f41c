import { parsePrefix, prefixAddress, prefixLength } from "../../base/prefix.ts";
import { WireError } from "../../base/errors.ts";
import { dataTypes, encodeValue, readValue, type ValueType } from "./datatypes.ts";
import type { KeyPart } from "./model.ts";

/** First and last value, both included, as bytes of the type's length. A single value has the two equal. */
export type Span = { from: Uint8Array; to: Uint8Array };

/** What a key part, a prefix or a plain value covers. @throws WireError also when a range runs backwards or sorts in host order */
export function spanOf(part: KeyPart, type: ValueType): Span {
  if (typeof part === "object") return checkedRange({ from: encodeValue(part.from, type), to: encodeValue(part.to, type) }, type);
  if (!isPrefix(part)) {
    const value = encodeValue(part, type);
    return { from: value, to: value };
  }
  const prefix = parsePrefix(part);
  if (typeof prefix !== "string") throw new WireError(`nftables ${type}`, `cannot hold ${JSON.stringify(part)}`);
  const from = encodeValue(prefixAddress(prefix), type);
  return { from, to: withHostBits(from, prefixLength(prefix)) };
}

/** True for text such as `10.0.0.0/8`, which only a span can hold. */
export function isPrefix(part: KeyPart): part is string {
  return typeof part === "string" && part.includes("/");
}

/** The shortest way to say a span: a value, a prefix, or a range. */
export function partOf(span: Span, type: ValueType): KeyPart {
  const from = readValue(span.from, 0, type);
  if (Buffer.compare(span.from, span.to) === 0) return from;
  const length = dataTypes[type].form === "ipv4" || dataTypes[type].form === "ipv6" ? commonPrefix(span) : undefined;
  return length === undefined ? { from, to: readValue(span.to, 0, type) } : `${from}/${length}`;
}

/** The length of the prefix that is exactly this span, if there is one. */
export function commonPrefix(span: Span): number | undefined {
  let bits = 0;
  while (bits < span.from.length * 8 && bitAt(span.from, bits) === bitAt(span.to, bits)) bits++;
  for (let i = bits; i < span.from.length * 8; i++) if (bitAt(span.from, i) !== 0 || bitAt(span.to, i) !== 1) return undefined;
  return bits;
}

/** The mask of a prefix length, as bytes. */
export function maskOf(length: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 0xff);
}

/** The value after the last one, or undefined when the last is the highest there is. */
export function successor(bytes: Uint8Array): Uint8Array | undefined {
  const out = Uint8Array.from(bytes);
  for (let i = out.length - 1; i >= 0; i--) {
    if (out[i] !== 255) {
      out[i] = (out[i] ?? 0) + 1;
      return out;
    }
    out[i] = 0;
  }
  return undefined;
}

/** The value before; the caller knows it is not zero. */
export function predecessor(bytes: Uint8Array): Uint8Array {
  const out = Uint8Array.from(bytes);
  for (let i = out.length - 1; i >= 0; i--) {
    if (out[i] !== 0) {
      out[i] = (out[i] ?? 0) - 1;
      return out;
    }
    out[i] = 255;
  }
  return out;
}

/** Sorted, with spans that overlap or touch joined: the kernel refuses an anonymous set whose intervals overlap. */
export function joinSpans(spans: readonly Span[]): Span[] {
  const sorted = spans.toSorted((a, b) => Buffer.compare(a.from, b.from));
  const joined: Span[] = [];
  for (const span of sorted) {
    const last = joined.at(-1);
    const next = last === undefined ? undefined : successor(last.to);
    if (last === undefined || (next !== undefined && Buffer.compare(span.from, next) > 0)) joined.push(span);
    else if (Buffer.compare(span.to, last.to) > 0) joined[joined.length - 1] = { from: last.from, to: span.to };
  }
  return joined;
}

function checkedRange(span: Span, type: ValueType): Span {
  if (dataTypes[type].order !== "network")
    throw new WireError(`nftables ${type}`, "cannot be a range: its bytes do not sort as its values");
  if (Buffer.compare(span.from, span.to) > 0) throw new WireError(`nftables ${type}`, "a range runs backwards");
  return span;
}

function withHostBits(from: Uint8Array, length: number): Uint8Array {
  const mask = maskOf(length, from.length);
  return from.map((byte, i) => byte | (~(mask[i] ?? 0) & 255));
}

function bitAt(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
}
