import { NexusError, WireError } from "../base/errors.ts";

/**
 * Frames of an upgraded exec connection, both directions: `[type u8][length u32 big-endian][payload]`.
 * The caller sends `request` first, then stdin, resize, signal; the daemon sends stdout, stderr, and last exit or error. Of a run it
 * sends its `status` as well, at its start and before its exit, and before that how far what it waits for is: `progress`, a line.
 */
export type Frame =
  | { kind: "request"; json: unknown }
  | { kind: "stdin"; bytes: Uint8Array }
  | { kind: "stdout"; bytes: Uint8Array }
  | { kind: "stderr"; bytes: Uint8Array }
  | { kind: "stdin-end" }
  | { kind: "resize"; columns: number; rows: number }
  | { kind: "signal"; signal: NodeJS.Signals }
  | { kind: "exit"; code: number }
  | { kind: "error"; json: unknown }
  | { kind: "status"; json: unknown }
  | { kind: "progress"; json: unknown };

export type FrameKind = Frame["kind"];

/** The token of the Upgrade header. */
export const execProtocol = "nexus-exec";

/** The most one payload may have; longer writes are split. */
export const framePayloadLimit = 1024 * 1024;

const kinds = [
  "request",
  "stdin",
  "stdout",
  "stderr",
  "stdin-end",
  "resize",
  "signal",
  "exit",
  "error",
  "status",
  "progress",
] as const satisfies readonly FrameKind[];
const headerBytes = 5;

export function encodeFrame(frame: Frame): Uint8Array {
  const payload = encodePayload(frame);
  if (payload.length > framePayloadLimit)
    throw new NexusError("too-large", `a frame of ${payload.length} bytes; at most ${framePayloadLimit}`);
  const out = Buffer.allocUnsafe(headerBytes + payload.length);
  out.writeUInt8(kinds.indexOf(frame.kind), 0);
  out.writeUInt32BE(payload.length, 1);
  out.set(payload, headerBytes);
  return out;
}

/** Cuts a byte stream into frames, whatever its pieces are. After an error it must not be used again. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames this piece completes. @throws WireError when the bytes are no frames */
  push(chunk: Uint8Array): Frame[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#rest.length - at >= headerBytes) {
      const kind = kinds[this.#rest.readUInt8(at)];
      const length = this.#rest.readUInt32BE(at + 1);
      if (kind === undefined) throw new WireError("exec frame", `unknown type ${this.#rest[at]}`, at);
      if (length > framePayloadLimit)
        throw new WireError("exec frame", `${length} bytes in one ${kind}; at most ${framePayloadLimit}`, at + 1);
      if (this.#rest.length - at - headerBytes < length) break;
      frames.push(decodePayload(kind, this.#rest.subarray(at + headerBytes, at + headerBytes + length)));
      at += headerBytes + length;
    }
    this.#rest = this.#rest.subarray(at);
    return frames;
  }
}

function encodePayload(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case "stdin":
    case "stdout":
    case "stderr":
      return frame.bytes;
    case "stdin-end":
      return new Uint8Array(0);
    case "resize": {
      const out = Buffer.alloc(4);
      out.writeUInt16BE(frame.columns, 0);
      out.writeUInt16BE(frame.rows, 2);
      return out;
    }
    case "signal":
      return Buffer.from(frame.signal, "latin1");
    case "exit": {
      const out = Buffer.alloc(4);
      out.writeInt32BE(frame.code, 0);
      return out;
    }
    case "request":
    case "error":
    case "status":
    case "progress":
      return Buffer.from(JSON.stringify(frame.json));
  }
}

function decodePayload(kind: FrameKind, payload: Buffer): Frame {
  switch (kind) {
    case "stdin":
    case "stdout":
    case "stderr":
      return { kind, bytes: payload };
    case "stdin-end":
      expectLength(kind, payload, 0);
      return { kind };
    case "resize":
      expectLength(kind, payload, 4);
      return { kind, columns: payload.readUInt16BE(0), rows: payload.readUInt16BE(2) };
    case "signal": {
      const signal = payload.toString("latin1");
      if (!/^SIG[A-Z0-9]{2,10}$/.test(signal)) throw new WireError("exec frame signal", "not the name of a signal");
      return { kind, signal: signal as NodeJS.Signals };
    }
    case "exit":
      expectLength(kind, payload, 4);
      return { kind, code: payload.readInt32BE(0) };
    case "request":
    case "error":
    case "status":
    case "progress":
      return { kind, json: parseJson(kind, payload) };
  }
}

function expectLength(kind: FrameKind, payload: Buffer, length: number): void {
  if (payload.length !== length) throw new WireError(`exec frame ${kind}`, `${payload.length} bytes instead of ${length}`);
}

function parseJson(kind: FrameKind, payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8")) as unknown;
  } catch {
    throw new WireError(`exec frame ${kind}`, "not JSON");
  }
}
