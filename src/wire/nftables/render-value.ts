import { dataTypes, encodeValue, symbolOf, type ValueType } from "./datatypes.ts";
import type { KeyPart } from "./model.ts";
import { isPrefix, spanOf } from "./span.ts";

/** A value, prefix or range in nft's words; without a type it is written as it is. */
export function renderPart(part: KeyPart, type: ValueType | undefined): string {
  if (typeof part === "object") return `${renderScalar(part.from, type)}-${renderScalar(part.to, type)}`;
  return isPrefix(part) ? part : renderScalar(part, type);
}

/** A value as the bare number nft wants next to a raw payload reference. */
export function renderRaw(part: KeyPart, type: ValueType): string {
  if (typeof part !== "object" && !isPrefix(part)) return hex(encodeValue(part, type));
  const { from, to } = spanOf(part, type);
  return `${hex(from)}-${hex(to)}`;
}

/** A bit mask, in the width of its field. */
export function renderMask(mask: number, type: ValueType): string {
  return `0x${mask.toString(16).padStart(dataTypes[type].length * 2, "0")}`;
}

function renderScalar(value: string | number, type: ValueType | undefined): string {
  if (type === undefined) return String(value);
  return dataTypes[type].form === "name" ? JSON.stringify(value) : symbolOf(value, type);
}

function hex(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}
