import { endToEnd, type Field, type Framing, readFields, readFraming } from "./head.ts";

/** What a request to a proxy asks for: a resource of a host, a tunnel, or (as if to a server) no host at all. */
export type RequestTarget =
  | { kind: "absolute"; authority: string; path: string }
  | { kind: "authority"; authority: string }
  | { kind: "origin" };

/** A request's head (RFC 9112 §3). `fields` are those that go on, Host excepted; `version` is the minor one. */
export type RequestHead = {
  method: string;
  target: RequestTarget;
  version: 0 | 1;
  fields: Field[];
  framing: Exclude<Framing, { kind: "close" }>;
  keepAlive: boolean;
  /** The client waits for "100 Continue" before it sends the body. */
  expectsContinue: boolean;
};

/** Why a request is refused: its `target` names no host in a way all readers agree on, or its `shape` is not safe to pass on. */
export type RequestFault = { about: "target" | "shape"; problem: string; method?: string };

/** Echo of what was sent, and the preface of another protocol. */
const refusedMethods: ReadonlySet<string> = new Set(["TRACE", "TRACK", "PRI"]);

export function parseRequest(lines: readonly string[]): RequestHead | RequestFault {
  const [, method, targetText, minor] = /^([A-Z][A-Z-]{0,23}) (.+) HTTP\/1\.([01])$/s.exec(lines[0] ?? "") ?? [];
  if (method === undefined || targetText === undefined)
    return shape("the request line is not METHOD TARGET HTTP/1.1", methodOf(lines[0] ?? ""));
  const version = minor === "0" ? 0 : 1;
  if (refusedMethods.has(method)) return shape(`${method} is not passed on`, method);
  const target = parseTarget(method, targetText);
  if ("problem" in target) return { ...target, method };
  const all = readFields(lines.slice(1));
  if ("fault" in all) return shape(all.fault, method);
  const fault = unsafe(all, version);
  if (fault !== undefined) return shape(fault, method);
  const framing = readFraming(all, version);
  if ("fault" in framing) return shape(framing.fault, method);
  if (framing.kind === "close") return shape("the body has no end", method);
  if (method === "CONNECT" && framing.kind !== "none" && !(framing.kind === "length" && framing.bytes === 0))
    return shape("CONNECT has a body", method);
  const passed = endToEnd(all);
  if ("fault" in passed) return shape(passed.fault, method);
  const expectation = all.find(({ lower }) => lower === "expect")?.value.toLowerCase();
  if (expectation !== undefined && expectation !== "100-continue") return shape("Expect is not 100-continue", method);
  return {
    method,
    target,
    version,
    fields: passed.fields.filter(({ lower }) => lower !== "host" && lower !== "expect"),
    framing,
    keepAlive: version === 1 ? !passed.options.has("close") : passed.options.has("keep-alive") && !passed.options.has("close"),
    expectsContinue: expectation !== undefined && version === 1 && framing.kind !== "none",
  };
}

/** A body that follows is bytes of the client's choice, so a head that is refused is the last one read. */
function shape(problem: string, method?: string): RequestFault {
  return { about: "shape", problem, ...(method === undefined ? {} : { method }) };
}

function unsafe(fields: readonly Field[], version: 0 | 1): string | undefined {
  const hosts = fields.filter(({ lower }) => lower === "host").length;
  if (hosts > 1) return "there is more than one Host";
  if (hosts === 0 && version === 1) return "there is no Host";
  for (const { lower } of fields) {
    if (lower === "upgrade") return "Upgrade leaves HTTP, which is not passed on";
    if (lower === "http2-settings") return "HTTP2-Settings leaves HTTP/1.1, which is not passed on";
  }
  return undefined;
}

/** Userinfo, fragment and backslash are where URL parsers part ways, so none is taken (RFC 9112 §3.2.2). */
function parseTarget(method: string, text: string): RequestTarget | RequestFault {
  if (/[^\x21-\x7e]/.test(text)) return { about: "target", problem: "the target has a character that is not printable ASCII" };
  if (method === "CONNECT") return { kind: "authority", authority: text };
  if (text.startsWith("/") || text === "*") return { kind: "origin" };
  const odd = /[#\\]/.exec(text)?.[0];
  if (odd !== undefined) return { about: "target", problem: `the target has "${odd}"` };
  const [, scheme, authority, path] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?]*)(.*)$/.exec(text) ?? [];
  if (scheme === undefined || authority === undefined || path === undefined)
    return { about: "target", problem: "the target is no absolute URI" };
  if (scheme.toLowerCase() !== "http") return { about: "target", problem: "the target's scheme is not http; use CONNECT for others" };
  if (authority.includes("@")) return { about: "target", problem: "the target has a user name" };
  return { kind: "absolute", authority, path: path.startsWith("/") ? path : `/${path}` };
}

function methodOf(line: string): string | undefined {
  return /^([A-Z][A-Z-]{0,23})(?: |$)/.exec(line)?.[1];
}
