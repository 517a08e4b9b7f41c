import { endToEnd, type Field, type Framing, readFields, readFraming } from "./head.ts";

/** A response's head (RFC 9112 §4). `fields` are those that go on; `keepAlive`: its connection can serve another request. */
export type ResponseHead = { status: number; phrase: string; fields: Field[]; framing: Framing; keepAlive: boolean };

/** The response to a request with that method; its body's framing depends on it. */
export function parseResponse(lines: readonly string[], method: string): ResponseHead | { fault: string } {
  const [, minor, digits, phrase = ""] = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(lines[0] ?? "") ?? [];
  if (minor === undefined || digits === undefined) return { fault: "the status line is not HTTP/1.1 CODE PHRASE" };
  const all = readFields(lines.slice(1));
  if ("fault" in all) return all;
  const announced = readFraming(all, Number(minor));
  if ("fault" in announced) return announced;
  const passed = endToEnd(all);
  if ("fault" in passed) return passed;
  const status = Number(digits);
  const framing: Framing = hasNoBody(status, method) ? { kind: "none" } : announced.kind === "none" ? { kind: "close" } : announced;
  const persistent = minor === "1" ? !passed.options.has("close") : passed.options.has("keep-alive");
  // What a HEAD or 304 would have had is told to the client all the same.
  const told =
    framing.kind === "none" && announced.kind === "length"
      ? [{ name: "Content-Length", lower: "content-length", value: String(announced.bytes) }]
      : [];
  return { status, phrase, fields: [...passed.fields, ...told], framing, keepAlive: persistent && framing.kind !== "close" };
}

/** RFC 9110 §6.4.1. */
function hasNoBody(status: number, method: string): boolean {
  return method === "HEAD" || status < 200 || status === 204 || status === 304;
}
