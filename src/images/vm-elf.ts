import { WireError } from "../base/errors.ts";

/** What a 64-bit little-endian ELF program or library asks of the system at its start (elf(5)). */
export type ElfNeeds = { machine: number; interpreter?: string; libraries: string[] };

/** @throws WireError */
export function readElfNeeds(file: Uint8Array): ElfNeeds {
  const bytes = new Reader(file);
  if (bytes.u32(0) !== 0x464c457f || bytes.u8(4) !== 2 || bytes.u8(5) !== 1)
    throw new WireError("ELF", "not a 64-bit little-endian ELF file", 0);
  const at = bytes.u64(32);
  const [size, count] = [bytes.u16(54), bytes.u16(56)];
  if (size < 56) throw new WireError("ELF", "program headers are too small", 54);
  const segments = Array.from({ length: count }, (_, i) => segmentAt(bytes, at + i * size));
  const interpreter = segments.find((segment) => segment.type === type.interpreter);
  const dynamic = segments.find((segment) => segment.type === type.dynamic);
  return {
    machine: bytes.u16(18),
    ...(interpreter === undefined ? {} : { interpreter: bytes.text(interpreter.offset) }),
    libraries: dynamic === undefined ? [] : librariesOf(bytes, segments, dynamic),
  };
}

type Segment = { type: number; offset: number; address: number; bytes: number };
const type = { load: 1, dynamic: 2, interpreter: 3 } as const;
const tag = { end: 0, needed: 1, strings: 5 } as const;

function segmentAt(bytes: Reader, at: number): Segment {
  return { type: bytes.u32(at), offset: bytes.u64(at + 8), address: bytes.u64(at + 16), bytes: bytes.u64(at + 32) };
}

function librariesOf(bytes: Reader, segments: Segment[], dynamic: Segment): string[] {
  const entries: { tag: number; value: number }[] = [];
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.bytes; at += 16) {
    const entry = { tag: bytes.u64(at), value: bytes.u64(at + 8) };
    if (entry.tag === tag.end) break;
    entries.push(entry);
  }
  const strings = entries.find((entry) => entry.tag === tag.strings)?.value;
  const needed = entries.filter((entry) => entry.tag === tag.needed);
  if (needed.length === 0) return [];
  const home = segments.find(
    (segment) =>
      segment.type === type.load && strings !== undefined && strings >= segment.address && strings < segment.address + segment.bytes,
  );
  if (home === undefined || strings === undefined) throw new WireError("ELF", "the dynamic section has no string table");
  // The table is given by its address in memory; the segment that holds it says where that is in the file.
  const table = strings - home.address + home.offset;
  return needed.map((entry) => bytes.text(table + entry.value));
}

class Reader {
  readonly #view: DataView;
  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#checked(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#checked(at, 2), true);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#checked(at, 4), true);
  }

  u64(at: number): number {
    return Number(this.#view.getBigUint64(this.#checked(at, 8), true));
  }

  /** Up to the NUL; at most a path's length. */
  text(at: number): string {
    let end = this.#checked(at, 1);
    while (this.u8(end) !== 0) if (++end - at > 4096) throw new WireError("ELF", "a name has no end", at);
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + at, end - at).toString("latin1");
  }

  #checked(at: number, bytes: number): number {
    if (!(at >= 0 && at + bytes <= this.#view.byteLength)) throw new WireError("ELF", "cut off", Math.min(at, this.#view.byteLength));
    return at;
  }
}
