import { WireError } from "../../base/errors.ts";

/**
 * Many streams over one: between the daemon and a virtual machine that runs one command. A frame is the length of its payload
 * (u32), its kind (u8) and its stream (u32), big-endian, then the payload. Streams 1 to 3 are the command's input, output and
 * errors; from 16 up they are connections the guest opens. Each side sends at most a window of bytes the other has not
 * said to have taken.
 */
export type Frame =
  | { kind: "open" | "end" | "reset"; stream: number }
  | { kind: "data"; stream: number; bytes: Uint8Array }
  | { kind: "credit"; stream: number; count: number }
  | { kind: "signal"; number: number }
  | { kind: "resize"; columns: number; rows: number }
  | { kind: "exit"; code: number; outOfMemory: boolean };

/** Bytes of a stream that may be on their way, either way. */
export const muxWindow = 262_144;

const kinds = { open: 1, data: 2, end: 3, credit: 4, reset: 5, signal: 6, exit: 7, resize: 8 } as const;
const headerBytes = 9;
/** The guest takes and gives at most so much in one piece. */
const mostPayload = 65_536;

export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case "data":
      return pack(kinds.data, frame.stream, frame.bytes);
    case "credit":
      return pack(kinds.credit, frame.stream, numbers(frame.count));
    case "signal":
      return pack(kinds.signal, 0, numbers(frame.number));
    case "exit":
      return pack(kinds.exit, 0, numbers(frame.code, frame.outOfMemory ? 1 : 0));
    case "resize":
      return pack(kinds.resize, 0, numbers(frame.columns * 65_536 + frame.rows));
    default:
      return pack(kinds[frame.kind], frame.stream, new Uint8Array());
  }
}

/** Takes bytes as they come, in whatever pieces; holds back at most one frame. */
export class FrameReader {
  #left: Buffer = Buffer.alloc(0);

  /** The frames that are whole now. @throws WireError when the other side does not speak this; nothing after it can be trusted */
  take(bytes: Uint8Array): Frame[] {
    let buffer = this.#left.length === 0 ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : Buffer.concat([this.#left, bytes]);
    const frames: Frame[] = [];
    while (buffer.length >= headerBytes) {
      const length = buffer.readUInt32BE(0);
      if (length > mostPayload) throw new WireError("mux", `a frame of ${length} bytes is too long`);
      if (buffer.length < headerBytes + length) break;
      const payload = buffer.subarray(headerBytes, headerBytes + length);
      frames.push(decode(buffer[4] ?? 0, buffer.readUInt32BE(5), payload));
      buffer = buffer.subarray(headerBytes + length);
    }
    this.#left = buffer;
    return frames;
  }
}

function decode(kind: number, stream: number, payload: Buffer): Frame {
  switch (kind) {
    case kinds.open:
      return { kind: "open", stream };
    case kinds.end:
      return { kind: "end", stream };
    case kinds.reset:
      return { kind: "reset", stream };
    case kinds.data:
      return { kind: "data", stream, bytes: payload };
    case kinds.credit:
      return { kind: "credit", stream, count: wanted(payload, 4).readUInt32BE(0) };
    case kinds.signal:
      return { kind: "signal", number: wanted(payload, 4).readUInt32BE(0) };
    case kinds.resize:
      return { kind: "resize", columns: wanted(payload, 4).readUInt16BE(0), rows: payload.readUInt16BE(2) };
    case kinds.exit:
      return { kind: "exit", code: wanted(payload, 8).readUInt32BE(0), outOfMemory: payload.readUInt32BE(4) !== 0 };
    default:
      throw new WireError("mux", `a frame of kind ${kind} is not known`);
  }
}

function wanted(payload: Buffer, length: number): Buffer {
  if (payload.length !== length) throw new WireError("mux", `a frame has ${payload.length} bytes instead of ${length}`);
  return payload;
}

function pack(kind: number, stream: number, payload: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame[4] = kind;
  frame.writeUInt32BE(stream, 5);
  frame.set(payload, headerBytes);
  return frame;
}

function numbers(...values: number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}
