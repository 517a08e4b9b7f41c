import { WireError } from "../../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../../base/ip.ts";
import type { Ipv4 } from "../../base/ipv4.ts";

/** How one kind of option data is read and written. `decode` throws WireError with the path it is given. */
export type OptionCodec<T> = { decode(data: Uint8Array, path: string): T; encode(value: T): Uint8Array };

export const ipv4Codec: OptionCodec<Ipv4> = {
  decode: (data, path) => ipFromBytes(exactly(data, 4, path)) as Ipv4,
  encode: ipToBytes,
};

export const ipv4ListCodec: OptionCodec<readonly Ipv4[]> = {
  decode(data, path) {
    if (data.length === 0 || data.length % 4 !== 0) throw new WireError(path, `${data.length} bytes are no list of addresses`);
    return Array.from({ length: data.length / 4 }, (_, i) => ipFromBytes(data.subarray(4 * i, 4 * i + 4)) as Ipv4);
  },
  encode: (list) => Buffer.concat(list.map(ipToBytes)),
};

export const u8Codec: OptionCodec<number> = {
  decode: (data, path) => exactly(data, 1, path)[0] ?? 0,
  encode: (value) => Uint8Array.of(value),
};

export const u16Codec: OptionCodec<number> = {
  decode: (data, path) => bufferOf(exactly(data, 2, path)).readUInt16BE(),
  encode: (value) => Uint8Array.of(value >>> 8, value),
};

export const u32Codec: OptionCodec<number> = {
  decode: (data, path) => bufferOf(exactly(data, 4, path)).readUInt32BE(),
  encode: (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value),
};

/** Text as clients send it: some close it with NULs (RFC 2132 §2 asks receivers to bear that), and not all of it is UTF-8. */
export const textCodec: OptionCodec<string> = {
  decode: (data) => bufferOf(data).toString("latin1").replace(/\0+$/, ""),
  encode: (text) => Buffer.from(text, "latin1"),
};

export const bytesCodec: OptionCodec<Uint8Array> = {
  decode: (data) => Uint8Array.from(data),
  encode: (bytes) => bytes,
};

/** An option whose presence says it all. */
export const flagCodec: OptionCodec<true> = {
  decode(data, path) {
    exactly(data, 0, path);
    return true;
  },
  encode: () => new Uint8Array(0),
};

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function exactly(data: Uint8Array, length: number, path: string): Uint8Array {
  if (data.length !== length) throw new WireError(path, `has ${data.length} bytes, not ${length}`);
  return data;
}
