import { WireError } from "../base/errors.ts";

/** An object as QEMU's monitor and the guest agent send them, one a line. */
export type JsonObject = Record<string, unknown>;

/**
 * Bytes to JSON objects, however the bytes are cut. A byte 0xff throws away what came before it: that is how the guest agent marks
 * where an answer to `guest-sync-delimited` begins (qga/qapi-schema.json).
 */
export class JsonLines {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes = 64 * 1024 * 1024) {
    this.#maxBytes = maxBytes;
  }

  /** The objects completed by these bytes. @throws WireError when a line is too long or no JSON object */
  push(bytes: Uint8Array): JsonObject[] {
    const found: JsonObject[] = [];
    let from = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === delimiter) {
        this.#clear();
        from = at + 1;
      } else if (byte === lineFeed) {
        this.#add(bytes.subarray(from, at));
        from = at + 1;
        const line = Buffer.concat(this.#parts).toString("utf8").trim();
        this.#clear();
        if (line !== "") found.push(parseObject(line));
      }
    }
    this.#add(bytes.subarray(from));
    return found;
  }

  #add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) {
      this.#clear();
      throw new WireError("JSON line", `longer than ${this.#maxBytes} bytes`);
    }
    this.#parts.push(Uint8Array.from(bytes));
  }

  #clear(): void {
    this.#parts = [];
    this.#bytes = 0;
  }
}

const lineFeed = 0x0a;
const delimiter = 0xff;

function parseObject(line: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new WireError("JSON line", `not JSON: ${line.slice(0, 80)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new WireError("JSON line", `not an object: ${line.slice(0, 80)}`);
  return value as JsonObject;
}
