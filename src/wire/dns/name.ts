import { WireError } from "../../base/errors.ts";

/**
 * A domain name as RFC 1035 §3.1 puts it on the wire (length byte, label, …) without the closing root byte, one character per
 * byte; the root is "". Exact for any bytes, cheap to compare, and a suffix at a label boundary is again a name.
 */
export type DnsName = string;

const maxNameBytes = 255;
const maxLabelBytes = 63;

/** `web.lan.nexus` (a closing dot is optional) to a name. `\.`, `\\` and `\DDD` are understood. @throws WireError */
export function nameFromText(text: string): DnsName {
  let name = "";
  let label = "";
  const close = (at: number) => {
    if (label === "") throw new WireError("name", `"${text}" has an empty label`, at);
    if (label.length > maxLabelBytes) throw new WireError("name", `a label of "${text}" has more than ${maxLabelBytes} bytes`, at);
    name += String.fromCharCode(label.length) + label;
    label = "";
  };
  if (text === "" || text === ".") return "";
  let i = 0;
  while (i < text.length) {
    const c = text.charAt(i);
    if (c === ".") close(i++);
    else if (c === "\\") {
      const escaped = readEscape(text, i);
      label += escaped.byte;
      i = escaped.next;
    } else {
      if (c.charCodeAt(0) > 0x7f) throw new WireError("name", `"${text}" has a character outside ASCII`, i);
      label += c;
      i++;
    }
  }
  if (label !== "") close(i);
  if (name.length + 1 > maxNameBytes) throw new WireError("name", `"${text}" has more than ${maxNameBytes} bytes`);
  return name;
}

/** The text of a name without closing dot, with the escapes of RFC 1035 §5.1; "." for the root. */
export function nameToText(name: DnsName): string {
  if (name === "") return ".";
  return labelStarts(name)
    .map((start) => escapeLabel(name.slice(start + 1, start + 1 + name.charCodeAt(start))))
    .join(".");
}

/** The name with A-Z in lower case, which is how names compare (RFC 4343). Length bytes are below "A" and stay. */
export function foldName(name: DnsName): DnsName {
  return /[A-Z]/.test(name) ? name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : name;
}

/** Where each label begins, at its length byte; the last is the top level. */
export function labelStarts(name: DnsName): number[] {
  const starts: number[] = [];
  for (let at = 0; at < name.length; at += name.charCodeAt(at) + 1) starts.push(at);
  return starts;
}

/** The bytes of a name, root byte included. */
export function nameToBytes(name: DnsName): Buffer {
  return Buffer.from(`${name}\0`, "latin1");
}

/**
 * The name at an offset and where the field after it begins. Each pointer must lead further back than the one before,
 * so no chain of pointers loops (RFC 1035 §4.1.4). @throws WireError
 */
export function readName(bytes: Buffer, start: number): { name: DnsName; next: number } {
  let name = "";
  let at = start;
  let next = -1;
  let floor = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw new WireError("name", "runs past the end", at);
    if (length === 0) break;
    if (length >= 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) throw new WireError("name", "pointer runs past the end", at);
      if (next === -1) next = at + 2;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= floor) throw new WireError("name", "pointer does not lead back", at);
      floor = target;
      at = target;
      continue;
    }
    if (length > maxLabelBytes) throw new WireError("name", "label type is unknown", at);
    const end = at + 1 + length;
    if (end > bytes.length) throw new WireError("name", "label runs past the end", at);
    if (name.length + length + 2 > maxNameBytes) throw new WireError("name", `has more than ${maxNameBytes} bytes`, at);
    name += bytes.toString("latin1", at, end);
    at = end;
  }
  return { name, next: next === -1 ? at + 1 : next };
}

function readEscape(text: string, at: number): { byte: string; next: number } {
  const decimal = /^\d{3}/.exec(text.slice(at + 1, at + 4))?.[0];
  if (decimal !== undefined) {
    if (Number(decimal) > 255) throw new WireError("name", `escape \\${decimal} is no byte`, at);
    return { byte: String.fromCharCode(Number(decimal)), next: at + 4 };
  }
  const c = text.charAt(at + 1);
  if (c === "" || c.charCodeAt(0) > 0x7f) throw new WireError("name", "escape is incomplete", at);
  return { byte: c, next: at + 2 };
}

function escapeLabel(label: string): string {
  let out = "";
  for (const c of label) {
    const code = c.charCodeAt(0);
    if (c === "." || c === "\\") out += `\\${c}`;
    else if (code > 0x20 && code < 0x7f) out += c;
    else out += `\\${String(code).padStart(3, "0")}`;
  }
  return out;
}
