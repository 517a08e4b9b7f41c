import type { Codec, Scalar } from "./codecs.ts";
import type { Reader, Writer } from "./bytes.ts";

/** Bytes of a structure that mean nothing: written as zero, not read. */
export type Padding = Scalar<undefined>;

// oxlint-disable-next-line typescript/no-explicit-any
type Fields = Readonly<Record<string, Scalar<any>>>;
type Named<F> = { [K in keyof F as F[K] extends Padding ? never : K]: F[K] extends Codec<infer D, infer _> ? D : never };

/** A C structure: every field when read; fields left out are zero when written. */
export type Struct<F extends Fields> = Codec<Named<F>, { [K in keyof Named<F>]?: Named<F>[K] | undefined }> & { readonly size: number };

export function padding(size: number): Padding {
  return { size, write: (w) => w.zero(size), read: (r) => r.skip(size) as undefined };
}

/** A structure of scalars in the order given, without implied padding: write it with `padding(n)`. */
export function struct<const F extends Fields>(fields: F): Struct<F> {
  const entries = Object.entries(fields);
  const size = entries.reduce((sum, [, field]) => sum + field.size, 0);
  return {
    size,
    extensible: true,
    write(writer: Writer, value: Record<string, unknown>) {
      for (const [name, field] of entries) {
        const given = value[name];
        if (given === undefined) writer.zero(field.size);
        else field.write(writer, given);
      }
    },
    read(reader: Reader) {
      const value: Record<string, unknown> = {};
      for (const [name, field] of entries) {
        const read: unknown = field.read(reader);
        if (read !== undefined) value[name] = read;
      }
      return value as Named<F>;
    },
  };
}
