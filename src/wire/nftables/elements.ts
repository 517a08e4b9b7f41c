import { WireError } from "../../base/errors.ts";
import type { DecodedOf } from "../netlink/attributes.ts";
import { elementFlags, type elementListAttributes } from "./attributes.ts";
import { dataTypes, paddedLength, readValue, type ValueType } from "./datatypes.ts";
import type { Element, ElementData, KeyPart } from "./model.ts";
import { keyLength, type SetDefinition } from "./set-definition.ts";
import { partOf, predecessor, type Span } from "./span.ts";
import { commentOf } from "./userdata.ts";
import { verdictOf } from "./verdict.ts";

export type ElementAttributes = NonNullable<DecodedOf<typeof elementListAttributes>["elements"]>[number];

/** The elements of a dumped set, intervals put together again, in the order of their keys where they are intervals. @throws WireError */
export function decodeElements(set: SetDefinition, entries: readonly ElementAttributes[]): Element[] {
  const plain = entries.filter((entry) => ((entry.flags ?? 0) & elementFlags.catchAll) === 0);
  if (set.interval && set.key.length === 1) return decodeIntervals(set, plain);
  return plain.map((entry) => {
    const from = keyOf(set, entry.key?.value);
    const to = entry.keyEnd === undefined ? from : keyOf(set, entry.keyEnd.value);
    return withData({ key: splitKey(set, { from, to }) }, set, entry);
  });
}

/** Entries are sorted and each start is closed by the end that follows it; without one it reaches the highest value. */
function decodeIntervals(set: SetDefinition, entries: readonly ElementAttributes[]): Element[] {
  const marks = entries.map((entry) => ({
    entry,
    at: keyOf(set, entry.key?.value),
    end: ((entry.flags ?? 0) & elementFlags.intervalEnd) !== 0,
  }));
  // An interval may begin where another ends: the end comes first.
  marks.sort((a, b) => Buffer.compare(a.at, b.at) || Number(b.end) - Number(a.end));
  const elements: Element[] = [];
  for (const [i, mark] of marks.entries()) {
    if (mark.end) continue;
    const next = marks[i + 1];
    const to = next === undefined ? new Uint8Array(mark.at.length).fill(255) : predecessor(next.at);
    if (Buffer.compare(mark.at, to) > 0) throw new WireError(`set ${set.name}`, "has two intervals that begin at one value");
    elements.push(withData({ key: [partOf({ from: mark.at, to }, set.key[0] as ValueType)] }, set, mark.entry));
  }
  return elements;
}

function keyOf(set: SetDefinition, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes?.length !== keyLength(set))
    throw new WireError(`set ${set.name}`, `has a key of ${bytes?.length ?? "no"} bytes instead of ${keyLength(set)}`);
  return bytes;
}

function splitKey(set: SetDefinition, span: Span): KeyPart[] {
  let at = 0;
  return set.key.map((type) => {
    const end = at + dataTypes[type].length;
    const part = partOf({ from: span.from.subarray(at, end), to: span.to.subarray(at, end) }, type);
    at += paddedLength(type);
    return part;
  });
}

function withData(element: Element, set: SetDefinition, entry: ElementAttributes): Element {
  const data = dataOf(set, entry);
  if (data !== undefined) element.data = data;
  const comment = commentOf(entry.userData);
  if (comment !== undefined) element.comment = comment;
  const left = entry.expiration ?? entry.timeout;
  if (left !== undefined) element.lifeMs = Number(left);
  return element;
}

function dataOf(set: SetDefinition, entry: ElementAttributes): ElementData | undefined {
  if (set.data === undefined) return undefined;
  if (set.data === "counter") return entry.object === undefined ? undefined : { counter: entry.object };
  if (set.data === "verdict") {
    const verdict = entry.data?.verdict === undefined ? undefined : verdictOf(entry.data.verdict);
    return verdict === undefined ? undefined : { verdict };
  }
  const bytes = entry.data?.value;
  if (bytes === undefined) return undefined;
  let at = 0;
  return {
    values: set.data.map((type) => {
      const value = readValue(bytes, at, type);
      at += paddedLength(type);
      return value;
    }),
  };
}
