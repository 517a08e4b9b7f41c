/** One header field as it came, without the white space around its value. `lower` is its name to compare by. */
export type Field = { name: string; lower: string; value: string };

/** Where a body ends: at once, after so many bytes, at the chunk of size zero, or with the connection. */
export type Framing = { kind: "none" } | { kind: "length"; bytes: number } | { kind: "chunked" } | { kind: "close" };

export type HeadLimits = { bytes: number; fields: number };

/** The lines before the first empty one and how many bytes they take with it; `more` when they are not all here. */
export type HeadRead = { kind: "head"; lines: string[]; length: number } | { kind: "more" } | { kind: "fault"; problem: string };

const LF = 10;
const CR = 13;

/**
 * The head of a message (RFC 9112 §2.1). Stricter than its §2.2: a line ends in CR LF and nothing else, since two readers that
 * differ on a bare LF or CR differ on where a message ends.
 */
export function readHead(bytes: Buffer, limits: HeadLimits): HeadRead {
  const lines: string[] = [];
  for (let start = 0; ;) {
    const end = bytes.indexOf(LF, start);
    if (end === -1 || end >= limits.bytes)
      return bytes.length < limits.bytes ? { kind: "more" } : { kind: "fault", problem: `the head has more than ${limits.bytes} bytes` };
    if (end === start || bytes[end - 1] !== CR) return { kind: "fault", problem: "a line ends in LF without CR" };
    if (end - 1 === start)
      return lines.length === 0 ? { kind: "fault", problem: "an empty line comes first" } : { kind: "head", lines, length: end + 1 };
    if (lines.length > limits.fields) return { kind: "fault", problem: `the head has more than ${limits.fields} fields` };
    lines.push(bytes.toString("latin1", start, end - 1));
    start = end + 1;
  }
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Anything but HTAB, printable ASCII and the upper half (RFC 9110 §5.5). */
const control = /[^\t\x20-\x7e\x80-\xff]/;

/** The fields of a head's lines, or what is wrong with one (RFC 9112 §5). */
export function readFields(lines: readonly string[]): Field[] | { fault: string } {
  const fields: Field[] = [];
  for (const line of lines) {
    if (line.startsWith(" ") || line.startsWith("\t")) return { fault: "a header is folded over several lines" };
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (colon === -1 || !token.test(name))
      return { fault: colon > 0 && /[ \t]$/.test(name) ? "white space precedes the colon of a header" : "a header has no valid name" };
    if (control.test(line)) return { fault: "a header has a control character" };
    fields.push({ name, lower: name.toLowerCase(), value: trimmed(line, colon + 1) });
  }
  return fields;
}

/** Which body the fields announce, or why that is not certain: what smuggling is made of (RFC 9112 §6.3, §11.2). */
export function readFraming(fields: readonly Field[], minor: number): Framing | { fault: string } {
  let framing: Framing = { kind: "none" };
  for (const { lower, value } of fields) {
    // Gateways to CGI and WSGI read "_" as "-".
    if (lower === "content_length" || lower === "transfer_encoding") return { fault: `a header is called ${lower}` };
    if (lower !== "content-length" && lower !== "transfer-encoding") continue;
    if (framing.kind !== "none") return { fault: "the length of the body is given twice" };
    if (lower === "content-length") {
      if (!/^\d{1,15}$/.test(value)) return { fault: "Content-Length is no number" };
      framing = { kind: "length", bytes: Number(value) };
    } else {
      if (value.toLowerCase() !== "chunked") return { fault: "Transfer-Encoding is not chunked" };
      if (minor === 0) return { fault: "HTTP/1.0 has no Transfer-Encoding" };
      framing = { kind: "chunked" };
    }
  }
  return framing;
}

/** Of one connection only, not of the message (RFC 9110 §7.6.1, and what older proxies used). */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-authentication-info",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What Connection may not take away: without them a message means another thing. */
const vital: ReadonlySet<string> = new Set(["host", "content-length", "transfer-encoding"]);

/** The fields that go on to the next hop, and the options of Connection. Neither length nor encoding goes on: the body is framed anew. */
export function endToEnd(fields: readonly Field[]): { fields: Field[]; options: ReadonlySet<string> } | { fault: string } {
  const options = new Set<string>();
  for (const { lower, value } of fields) {
    if (lower !== "connection" && lower !== "proxy-connection") continue;
    for (const part of value.split(",")) options.add(part.trim().toLowerCase());
  }
  for (const name of vital) if (options.has(name)) return { fault: `Connection names ${name}` };
  return { fields: fields.filter(({ lower }) => lower !== "content-length" && !hopByHop.has(lower) && !options.has(lower)), options };
}

function trimmed(line: string, from: number): string {
  let [start, end] = [from, line.length];
  while (start < end && isBlank(line.charCodeAt(start))) start++;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
