import type { Duplex } from "node:stream";
import { nodeHttp } from "../../base/node-http.ts";
import type { EgressReason } from "../../spec/egress.ts";
import type { Inbox } from "./inbox.ts";

/** A proxy's own answer to an HTTP request: the reason by code and in words. */
export function httpRefusal(answer: {
  status: 403 | 502 | 504;
  reason: EgressReason;
  detail?: string | undefined;
  close: boolean;
}): Buffer {
  const { status, reason, detail, close } = answer;
  const body = `egress ${status === 403 ? "refused" : "failed"}: ${reason}${detail === undefined ? "" : ` (${detail})`}\n`;
  const text = Buffer.from(body, "utf8");
  const head = [
    `HTTP/1.1 ${status} ${nodeHttp().STATUS_CODES[status]}`,
    `x-proxy-error: ${reason}`,
    "content-type: text/plain; charset=utf-8",
    `content-length: ${text.length}`,
    ...(close ? ["connection: close"] : []),
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), text]);
}

/** A TLS alert that ends a handshake before it began: `access_denied` (RFC 8446 §6). */
export const tlsAccessDenied: Buffer = Buffer.of(21, 3, 3, 0, 2, 2, 49);

const lingerMs = 5000;
const lingerBytes = 65_536;

/**
 * Says a last thing and closes. What the client sent meanwhile is read and dropped: closed over unread bytes, the kernel would
 * reset the connection and the answer could be lost on its way.
 */
export function farewell(stream: Duplex, bytes: Buffer): void {
  if (stream.destroyed) return;
  const patience = setTimeout(() => stream.destroy(), lingerMs).unref();
  let dropped = 0;
  stream.on("data", (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > lingerBytes) stream.destroy();
  });
  stream.once("end", () => stream.end());
  stream.once("close", () => clearTimeout(patience));
  stream.end(bytes);
  stream.resume();
}

/** Closes after what was written before. */
export function leave(inbox: Inbox): void {
  inbox.release();
  farewell(inbox.stream, Buffer.alloc(0));
}
