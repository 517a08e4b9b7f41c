import { WireError } from "../../base/errors.ts";
import { type Framing, readFields } from "./head.ts";

/** Cuts a body out of a stream. `push` gives its data; once `done`, `rest` are the bytes behind it. */
export type BodyReader = {
  readonly done: boolean;
  /** @throws WireError when the framing is broken */
  push(chunk: Buffer): Buffer[];
  readonly rest: Buffer;
};

export function bodyReader(framing: Framing): BodyReader {
  switch (framing.kind) {
    case "none":
      return new CountedBody(0);
    case "length":
      return new CountedBody(framing.bytes);
    case "close":
      return new CountedBody(Number.POSITIVE_INFINITY);
    case "chunked":
      return new ChunkedBody();
  }
}

const nothing = Buffer.alloc(0);

class CountedBody implements BodyReader {
  rest: Buffer = nothing;
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  push(chunk: Buffer): Buffer[] {
    const data = chunk.length <= this.#left ? chunk : chunk.subarray(0, this.#left);
    this.#left -= data.length;
    this.rest = chunk.subarray(data.length);
    return data.length === 0 ? [] : [data];
  }
}

const maxSizeLine = 256;
const maxTrailer = 8192;

/** RFC 9112 §7.1. Extensions and trailers end here: both are read within bounds and forgotten. */
class ChunkedBody implements BodyReader {
  done = false;
  rest: Buffer = nothing;
  /** Of the line being read, kept until it is whole. */
  #line: Buffer = nothing;
  #state: "size" | "data" | "data-end" | "trailer" = "size";
  #left = 0;
  #trailerBytes = 0;

  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let at = 0;
    while (at < chunk.length && !this.done) {
      if (this.#state === "data") {
        const data = chunk.subarray(at, at + this.#left);
        out.push(data);
        at += data.length;
        this.#left -= data.length;
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      const end = chunk.indexOf(10, at);
      const part = chunk.subarray(at, end === -1 ? chunk.length : end + 1);
      at += part.length;
      if (this.#line.length + part.length > (this.#state === "trailer" ? maxTrailer : maxSizeLine))
        throw new WireError("chunk", "a line is too long");
      this.#line = this.#line.length === 0 ? Buffer.from(part) : Buffer.concat([this.#line, part]);
      if (end === -1) break;
      this.#endLine();
    }
    this.rest = chunk.subarray(at);
    return out;
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = nothing;
    if (line.at(-2) !== 13) throw new WireError("chunk", "a line ends in LF without CR");
    const text = line.toString("latin1", 0, line.length - 2);
    switch (this.#state) {
      case "size": {
        const digits = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text)?.[1];
        if (digits === undefined) throw new WireError("chunk", "its size is no hexadecimal number");
        this.#left = Number.parseInt(digits, 16);
        this.#state = this.#left === 0 ? "trailer" : "data";
        return;
      }
      case "data-end":
        if (text !== "") throw new WireError("chunk", "its data is longer than its size");
        this.#state = "size";
        return;
      case "trailer": {
        if (text === "") {
          this.done = true;
          return;
        }
        this.#trailerBytes += line.length;
        if (this.#trailerBytes > maxTrailer) throw new WireError("chunk", `the trailer has more than ${maxTrailer} bytes`);
        const fields = readFields([text]);
        if ("fault" in fields) throw new WireError("chunk", `in the trailer ${fields.fault}`);
        return;
      }
      case "data":
    }
  }
}

/** The data as one chunk; none for no data, which would end the body. */
export function chunkOf(data: readonly Buffer[]): Buffer[] {
  const bytes = data.reduce((sum, part) => sum + part.length, 0);
  return bytes === 0 ? [] : [Buffer.from(`${bytes.toString(16)}\r\n`, "latin1"), ...data, crlf];
}

const crlf = Buffer.from("\r\n");
export const lastChunk: Buffer = Buffer.from("0\r\n\r\n");
