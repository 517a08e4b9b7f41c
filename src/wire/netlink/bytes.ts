import { WireError } from "../../base/errors.ts";

/** Netlink is in the host's byte order; every machine Node runs Nexus on is little-endian, but nothing here relies on it. */
const hostLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The next multiple of four: NLMSG_ALIGN and NLA_ALIGN. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** Reads values one after another, never past `end`. Every fault is a WireError that names `path` and the byte. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly path: string;
  offset: number;
  /** Reads stop here; tables narrow it to one attribute and widen it again. */
  end: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, path: string, offset = 0) {
    this.bytes = bytes;
    this.path = path;
    this.offset = offset;
    this.end = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), hostLittle);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), hostLittle);
  }

  s32(): number {
    return this.#view.getInt32(this.#take(4), hostLittle);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), hostLittle);
  }

  be16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  be32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  be64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A view of the next bytes; it shares memory with the input. */
  view(length: number): Uint8Array {
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** A view of everything up to `end`. */
  rest(): Uint8Array {
    return this.view(this.remaining);
  }

  /** Text up to `end` or its first NUL, whichever comes first; consumes all of it. */
  string(): string {
    const start = this.offset;
    let ascii = "";
    for (let i = start; i < this.end; i++) {
      const byte = this.bytes[i] as number;
      if (byte === 0) return this.#finish(ascii);
      if (byte > 127) return this.#finish(this.#utf8(start));
      ascii += String.fromCharCode(byte);
    }
    return this.#finish(ascii);
  }

  skip(length: number): void {
    this.#take(length);
  }

  fail(problem: string): never {
    throw new WireError(this.path, problem, this.offset);
  }

  #utf8(start: number): string {
    const nul = this.bytes.indexOf(0, start);
    return new TextDecoder().decode(this.bytes.subarray(start, nul === -1 || nul > this.end ? this.end : nul));
  }

  #finish(text: string): string {
    this.offset = this.end;
    return text;
  }

  #take(length: number): number {
    const start = this.offset;
    if (length < 0 || start + length > this.end) this.fail(`${length} bytes are wanted and ${this.end - start} are left`);
    this.offset = start + length;
    return start;
  }
}

/** Appends values to one buffer that grows. Numbers must be in range: they are cut to their width as DataView does. */
export class Writer {
  length = 0;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;

  constructor(capacity = 512) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, hostLittle);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, hostLittle);
  }

  s32(value: number): void {
    const at = this.#room(4);
    this.#view.setInt32(at, value, hostLittle);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, hostLittle);
  }

  be16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value);
  }

  be32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value);
  }

  be64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value);
  }

  write(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** UTF-8 without a terminator. */
  string(text: string): void {
    const at = this.#room(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) {
        this.length = at;
        this.write(new TextEncoder().encode(text));
        return;
      }
      this.#bytes[at + i] = code;
    }
  }

  /** Zero bytes. */
  zero(count: number): void {
    const at = this.#room(count);
    this.#bytes.fill(0, at, at + count);
  }

  /** Zero bytes up to the next multiple of four. */
  align(): void {
    const padding = align4(this.length) - this.length;
    if (padding > 0) this.zero(padding);
  }

  /** Overwrites a u16 or u32 written earlier: lengths known only at the end. */
  patchU16(at: number, value: number): void {
    this.#view.setUint16(at, value, hostLittle);
  }

  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, hostLittle);
  }

  /** What was written, as a copy; the writer may go on or be reset. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }

  /** What was written, sharing memory: valid until the next write. */
  peek(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length);
  }

  reset(): void {
    this.length = 0;
  }

  /** May replace buffer and view: call it before naming either. */
  #room(count: number): number {
    const at = this.length;
    const needed = at + count;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.length = needed;
    return at;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
