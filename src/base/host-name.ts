import type { Brand } from "./brand.ts";

/** A DNS host name in the one form decisions are made on: ASCII, lower case, no closing dot, never an address in any spelling. */
export type HostName = Brand<string, "HostName">;

const maxNameLength = 253;
const maxLabelLength = 63;

/**
 * The name, or one sentence on why it is none. Bytes are taken as they came, so nothing outside ASCII is folded into it;
 * a punycode label is a label like any other.
 */
export function canonicalName(input: string | Uint8Array): HostName | { fault: string } {
  const text = typeof input === "string" ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString("latin1");
  if (text === "") return { fault: "a host name cannot be empty" };
  const odd = /[^A-Za-z0-9._-]/.exec(text)?.[0];
  if (odd !== undefined)
    return { fault: `${quoted(text)} has ${characterName(odd)}; a host name has letters, digits, "-", "_" and "." only` };
  const name = (text.endsWith(".") ? text.slice(0, -1) : text).toLowerCase();
  if (name.length > maxNameLength)
    return { fault: `${quoted(text)} has ${name.length} characters; a host name has at most ${maxNameLength}` };
  const labels = name.split(".");
  for (const label of labels) {
    if (label === "") return { fault: `${quoted(text)} has an empty label` };
    if (label.length > maxLabelLength) return { fault: `a label of ${quoted(text)} has more than ${maxLabelLength} characters` };
    if (label.startsWith("-") || label.endsWith("-")) return { fault: `a label of ${quoted(text)} begins or ends with "-"` };
  }
  // What ends in a number is an IPv4 address to browsers (WHATWG URL, "ends in a number") and to inet_aton(3), or a fault.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")) return { fault: `${quoted(text)} is an address, not a name` };
  return name as HostName;
}

/** At most 64 characters of a text that may be hostile, in printable ASCII and quotes. */
export function quoted(text: string): string {
  const part = text.length > 64 ? `${text.slice(0, 63)}…` : text;
  return `"${part.replace(/[^\x21-\x7e…]/gu, (c) => (c === " " ? " " : `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`))}"`;
}

function characterName(character: string): string {
  if (character === " ") return "a space";
  return /[\x21-\x7e]/.test(character)
    ? `"${character}"`
    : `the character U+${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0").toUpperCase()}`;
}
