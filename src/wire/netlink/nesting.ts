import {
  type AttributeSpecs,
  type Attributes,
  type AttributesInput,
  type AttributeTable,
  enterAttribute,
  leaveAttribute,
  readPayload,
  writeAttribute,
} from "./attributes.ts";
import type { AnyCodec, Codec, DecodedBy, EncodableBy } from "./codecs.ts";
import type { Reader, Writer } from "./bytes.ts";

const nestedFlag = 0x8000;

/** Attributes within an attribute. A table that contains itself is given as a function. */
export function nested<S extends AttributeSpecs>(
  table: AttributeTable<S> | (() => AttributeTable<S>),
): Codec<Attributes<S>, AttributesInput<S>> {
  const get = typeof table === "function" ? table : () => table;
  return {
    nested: true,
    write: (writer, value) => get().write(writer, value),
    read: (reader) => get().read(reader),
    locate: (reader, offset) => get().locate(reader, offset),
  };
}

/**
 * An attribute that holds a list of attributes, all of one codec. `element` is their number (1 as in NFTA_LIST_ELEM unless told);
 * "index" numbers them from 1. Reading takes every element whatever its number.
 */
export function list<C extends AnyCodec>(
  codec: C,
  options: { element?: number | "index" } = {},
): Codec<DecodedBy<C>[], readonly EncodableBy<C>[]> {
  const element = options.element ?? 1;
  const flags = codec.nested === true ? nestedFlag : 0;
  return {
    nested: true,
    write(writer: Writer, values) {
      let index = 1;
      for (const value of values)
        writeAttribute(writer, (element === "index" ? index++ : element) | flags, () => codec.write(writer, value));
    },
    read(reader: Reader) {
      const limit = reader.end;
      const values: DecodedBy<C>[] = [];
      while (limit - reader.offset >= 4) {
        const start = reader.offset;
        enterAttribute(reader, limit);
        values.push(readPayload(reader, codec) as DecodedBy<C>);
        leaveAttribute(reader, start, limit);
      }
      reader.offset = limit;
      return values;
    },
    locate(reader: Reader, offset) {
      const limit = reader.end;
      for (let index = 0; limit - reader.offset >= 4; index++) {
        const start = reader.offset;
        const length = reader.u16();
        if (length < 4 || start + length > limit) return "";
        if (offset < start + length) {
          reader.offset = start + 4;
          reader.end = start + length;
          const inner = offset < start + 4 ? "" : (codec.locate?.(reader, offset) ?? "");
          return inner === "" ? `${index}` : `${index}.${inner}`;
        }
        reader.offset = Math.min(start + ((length + 3) & ~3), limit);
      }
      return "";
    },
  };
}

/** An attribute that may stand several times in a row at one level; the value is the array of them. */
export function repeated<C extends AnyCodec>(codec: C): Codec<DecodedBy<C>[], readonly EncodableBy<C>[]> {
  // The table loops over the values itself, so the codec stays that of one element.
  return { ...codec, repeated: true };
}

/** A structure followed by attributes, as in VETH_INFO_PEER: `{ header, attributes }`. */
export function headed<H extends AnyCodec & { readonly size: number }, S extends AttributeSpecs>(
  header: H,
  table: AttributeTable<S> | (() => AttributeTable<S>),
): Codec<{ header: DecodedBy<H>; attributes: Attributes<S> }, { header: EncodableBy<H>; attributes: AttributesInput<S> }> {
  const get = typeof table === "function" ? table : () => table;
  return {
    nested: true,
    write(writer, value) {
      header.write(writer, value.header);
      get().write(writer, value.attributes);
    },
    read: (reader) => ({ header: header.read(reader) as DecodedBy<H>, attributes: get().read(reader) }),
    locate(reader, offset) {
      if (reader.remaining < header.size || offset < reader.offset + header.size) return "";
      reader.skip(header.size);
      return get().locate(reader, offset);
    },
  };
}

/** One of several payloads under the name that the sibling `by` has: `{ veth: … }`; `{ other: bytes }` when no codec is known for it. */
export function choice<A extends Readonly<Record<string, AnyCodec>>>(
  by: string,
  among: A & { other?: never },
): Codec<Chosen<A>, ChosenInput<A>> {
  return {
    nested: true,
    choice: { by, among },
    write(writer, value) {
      const given = Object.entries(value).filter(([, payload]) => payload !== undefined);
      const [name, payload] = given[0] ?? [];
      if (given.length !== 1 || name === undefined) throw new TypeError(`exactly one kind of data goes with ${by}`);
      if (name === "other") writer.write(payload as Uint8Array);
      else among[name]?.write(writer, payload);
    },
    read: (reader) => ({ other: reader.rest().slice() }) as Chosen<A>,
  };
}

export type Chosen<A extends Readonly<Record<string, AnyCodec>>> = { -readonly [K in keyof A]?: DecodedBy<A[K]> } & { other?: Uint8Array };
export type ChosenInput<A extends Readonly<Record<string, AnyCodec>>> = { readonly [K in keyof A]?: EncodableBy<A[K]> | undefined } & {
  readonly other?: Uint8Array | undefined;
};
