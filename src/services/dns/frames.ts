import { WireError } from "../../base/errors.ts";

/** A message with the two bytes of length that TCP wants before it (RFC 1035 §4.2.2), in one piece. */
export function frame(message: Buffer): Buffer {
  const out = Buffer.allocUnsafe(message.length + 2);
  out.writeUInt16BE(message.length, 0);
  message.copy(out, 2);
  return out;
}

/** Cuts a TCP stream back into messages of at most `maxBytes`; holds one incomplete message at the most. */
export class FrameReader {
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws WireError when a message claims to be longer than the limit */
  push(chunk: Buffer): Buffer[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    while (data.length >= 2) {
      const end = 2 + data.readUInt16BE(0);
      if (end - 2 > this.#maxBytes) throw new WireError("tcp message", `has ${end - 2} bytes, at most ${this.#maxBytes} are taken`);
      if (data.length < end) break;
      messages.push(data.subarray(2, end));
      data = data.subarray(end);
    }
    this.#rest = Buffer.from(data);
    return messages;
  }
}
