import { WireError } from "../../base/errors.ts";
import { align4, Reader, Writer } from "./bytes.ts";
import type { AnyCodec, DecodedBy, EncodableBy } from "./codecs.ts";

/** One line of a table: the kernel's number, how the payload is coded, and what it means in a few words. */
export type AttributeSpec = { number: number; codec: AnyCodec; meaning: string };
export type AttributeSpecs = Readonly<Record<string, AttributeSpec>>;

/** An attribute no line of the table has; kept so that writing a value back loses nothing. `type` may carry NLA_F_NESTED. */
export type UnknownAttribute = { type: number; bytes: Uint8Array };

/** What reading gives: absent attributes are absent. */
export type Attributes<S extends AttributeSpecs> = { -readonly [K in keyof S]?: DecodedBy<S[K]["codec"]> } & {
  unknown?: UnknownAttribute[];
};

/** What writing takes; undefined counts as absent. Attributes are written in the order of the keys. */
export type AttributesInput<S extends AttributeSpecs> = { readonly [K in keyof S]?: EncodableBy<S[K]["codec"]> | undefined } & {
  readonly unknown?: readonly UnknownAttribute[] | undefined;
};

export type DecodedOf<T> = T extends AttributeTable<infer S> ? Attributes<S> : never;
export type InputOf<T> = T extends AttributeTable<infer S> ? AttributesInput<S> : never;

const nestedFlag = 0x8000;
const typeMask = 0x3fff;
const longest = 0xffff;

/** The table of one attribute space; the types of its values follow from the lines. */
export function attributeTable<const S extends AttributeSpecs>(specs: S & { unknown?: never }): AttributeTable<S> {
  return new AttributeTable<S>(specs);
}

/** Reads and writes the attributes of one space (struct nlattr, include/uapi/linux/netlink.h). Made by attributeTable. */
export class AttributeTable<S extends AttributeSpecs> {
  readonly specs: S;
  readonly #lines = new Map<string, Line>();
  readonly #byNumber: (Line | undefined)[] = [];

  constructor(specs: S) {
    this.specs = specs;
    for (const [name, { number, codec }] of Object.entries(specs)) {
      const line: Line = { name, codec, type: codec.nested === true ? number | nestedFlag : number };
      if (this.#byNumber[number] !== undefined)
        throw new TypeError(`${name} and ${this.#byNumber[number].name} have the same number ${number}`);
      this.#lines.set(name, line);
      this.#byNumber[number] = line;
    }
  }

  /** The attributes as bytes. */
  encode(value: AttributesInput<S>): Uint8Array {
    const writer = new Writer();
    this.write(writer, value);
    return writer.finish();
  }

  /** The value of `bytes` from `offset` on; `root` names the whole in errors. @throws WireError with the attribute's path */
  decode(bytes: Uint8Array, root: string, offset = 0): Attributes<S> {
    try {
      return this.read(new Reader(bytes, root, offset));
    } catch (error) {
      const place = error instanceof WireError ? error.details?.["offset"] : undefined;
      if (typeof place !== "number") throw error;
      const path = this.path(bytes, { root, at: place, offset });
      throw path === root ? error : new WireError(path, String((error as WireError).details?.["problem"]), place);
    }
  }

  /** The dotted name of the attribute that holds byte `at`: `link.info.data.peer`. `offset` is where the attributes begin. */
  path(bytes: Uint8Array, place: { root: string; at: number; offset?: number }): string {
    const inner = this.locate(new Reader(bytes, place.root, place.offset ?? 0), place.at);
    return inner === "" ? place.root : `${place.root}.${inner}`;
  }

  write(writer: Writer, value: AttributesInput<S>): void {
    const given = value as Readonly<Record<string, unknown>>;
    for (const name in given) {
      const item = given[name];
      if (item === undefined) continue;
      const line = this.#lines.get(name);
      if (line !== undefined) writeLine(writer, line, item);
      else if (name === "unknown")
        for (const kept of item as UnknownAttribute[]) writeAttribute(writer, kept.type, () => writer.write(kept.bytes));
      else throw new TypeError(`no attribute is called ${name}`);
    }
  }

  /** Reads up to the reader's end. */
  read(reader: Reader): Attributes<S> {
    const out: Record<string, unknown> = {};
    const limit = reader.end;
    let waiting: { line: Line; start: number; end: number }[] | undefined;
    while (limit - reader.offset >= 4) {
      const start = reader.offset;
      const type = enterAttribute(reader, limit);
      const line = this.#byNumber[type & typeMask];
      if (line === undefined) ((out["unknown"] ??= []) as UnknownAttribute[]).push({ type, bytes: reader.rest().slice() });
      else if (line.codec.choice !== undefined) (waiting ??= []).push({ line, start: reader.offset, end: reader.end });
      else if (line.codec.repeated === true) ((out[line.name] ??= []) as unknown[]).push(readPayload(reader, line.codec));
      else out[line.name] = readPayload(reader, line.codec);
      leaveAttribute(reader, start, limit);
    }
    reader.end = limit;
    for (const { line, start, end } of waiting ?? []) {
      reader.offset = start;
      reader.end = end;
      out[line.name] = readChoice(reader, line.codec, out);
    }
    reader.end = limit;
    reader.offset = limit;
    return out as Attributes<S>;
  }

  /** The dotted name, below this table, of what holds byte `at`; empty when no attribute does. Never throws. */
  locate(reader: Reader, at: number): string {
    const begin = reader.offset;
    const limit = reader.end;
    while (limit - reader.offset >= 4) {
      const start = reader.offset;
      const length = reader.u16();
      const type = reader.u16() & typeMask;
      const end = start + length;
      if (at < start) return "";
      if (at < start + align4(length) || length < 4) {
        const line = this.#byNumber[type];
        const name = line?.name ?? `attribute ${type}`;
        if (line === undefined || at < start + 4 || length < 4) return name;
        const codec = line.codec.choice === undefined ? line.codec : this.#chosen(reader, line.codec.choice, { begin, limit });
        reader.offset = start + 4;
        reader.end = Math.min(end, limit);
        const inner = codec?.locate?.(reader, at) ?? "";
        return inner === "" ? name : `${name}.${inner}`;
      }
      reader.offset = start + align4(length);
    }
    return "";
  }

  #chosen(reader: Reader, choice: NonNullable<AnyCodec["choice"]>, level: { begin: number; limit: number }): AnyCodec | undefined {
    reader.offset = level.begin;
    reader.end = level.limit;
    while (level.limit - reader.offset >= 4) {
      const start = reader.offset;
      const length = reader.u16();
      const type = reader.u16() & typeMask;
      if (length < 4 || start + length > level.limit) return undefined;
      if (this.#byNumber[type]?.name === choice.by) {
        reader.end = start + length;
        return ownCodec(choice.among, reader.string());
      }
      reader.offset = start + align4(length);
    }
    return undefined;
  }
}

/** Writes one attribute around what `payload` writes. @throws WireError when it is longer than 65,535 bytes */
export function writeAttribute(writer: Writer, type: number, payload: () => void): void {
  const start = beginAttribute(writer, type);
  payload();
  endAttribute(writer, start);
}

/** Reads an attribute's header and narrows the reader to its payload; gives the type with its flag bits. */
export function enterAttribute(reader: Reader, limit: number): number {
  const start = reader.offset;
  const length = reader.u16();
  const type = reader.u16();
  if (length < 4 || start + length > limit) {
    reader.offset = start;
    reader.fail(`an attribute claims ${length} bytes`);
  }
  reader.end = start + length;
  return type;
}

/** Goes on behind the attribute that began at `start`. */
export function leaveAttribute(reader: Reader, start: number, limit: number): void {
  reader.offset = Math.min(start + align4(reader.end - start), limit);
  reader.end = limit;
}

/** Reads a payload that must be consumed whole. */
export function readPayload(reader: Reader, codec: AnyCodec): unknown {
  const value: unknown = codec.read(reader);
  if (reader.offset !== reader.end && codec.extensible !== true) reader.fail(`${reader.remaining} bytes are left over`);
  return value;
}

type Line = { name: string; codec: AnyCodec; type: number };

function writeLine(writer: Writer, line: Line, value: unknown): void {
  if (line.codec.repeated === true) {
    for (const item of value as unknown[]) writeOne(writer, line, item);
  } else writeOne(writer, line, value);
}

function writeOne(writer: Writer, line: Line, value: unknown): void {
  const start = beginAttribute(writer, line.type);
  line.codec.write(writer, value);
  endAttribute(writer, start);
}

function beginAttribute(writer: Writer, type: number): number {
  const start = writer.length;
  writer.u16(0);
  writer.u16(type);
  return start;
}

function endAttribute(writer: Writer, start: number): void {
  const length = writer.length - start;
  if (length > longest)
    throw new WireError("netlink attribute", `${length} bytes are more than the ${longest} an attribute can have`, start);
  writer.patchU16(start, length);
  writer.align();
}

function readChoice(reader: Reader, codec: AnyCodec, siblings: Record<string, unknown>): Record<string, unknown> {
  const by = siblings[codec.choice?.by ?? ""];
  const chosen = typeof by === "string" && codec.choice !== undefined ? ownCodec(codec.choice.among, by) : undefined;
  return chosen === undefined ? { other: reader.rest().slice() } : { [by as string]: readPayload(reader, chosen) };
}

/** Names come from the wire: only the table's own keys count. */
function ownCodec(among: Readonly<Record<string, AnyCodec>>, name: string): AnyCodec | undefined {
  return Object.hasOwn(among, name) ? among[name] : undefined;
}
