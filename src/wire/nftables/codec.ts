import type { AttributeSpecs, Attributes, AttributesInput, AttributeTable } from "../netlink/attributes.ts";
import { attributeTable } from "../netlink/attributes.ts";
import { be32, bytes, type Codec, type Scalar } from "../netlink/codecs.ts";
import { nested } from "../netlink/nesting.ts";
import type { Expression } from "./expression.ts";

/** One instruction: the kernel's name for it, its attributes, and the way between those and our value. */
export type ExpressionCodec = {
  readonly name: string;
  encode(expression: Expression): Uint8Array | undefined;
  /** Undefined when the instruction says more than our value can hold. @throws WireError */
  decode(data: Uint8Array): Expression | undefined;
};

/** A codec for the instructions that `encode` gives attributes for; `decode` gets what the kernel sent. */
export function expressionCodec<S extends AttributeSpecs>(
  name: string,
  table: AttributeTable<S>,
  ways: { encode(expression: Expression): AttributesInput<S> | undefined; decode(attributes: Attributes<S>): Expression | undefined },
): ExpressionCodec {
  return {
    name,
    encode(expression) {
      const attributes = ways.encode(expression);
      return attributes === undefined ? undefined : table.encode(attributes);
    },
    decode(data) {
      const attributes = table.decode(data, name);
      return attributes.unknown === undefined ? ways.decode(attributes) : undefined;
    },
  };
}

/** A number that stands for a word; a number without one reads as undefined. */
export function oneOf<const T extends Readonly<Record<string, number>>>(
  codec: Scalar<number>,
  words: T,
): Codec<(keyof T & string) | undefined, keyof T & string> {
  const byNumber = new Map(Object.entries(words).map(([word, number]) => [number, word as keyof T & string]));
  return {
    size: codec.size,
    write: (writer, word) => codec.write(writer, words[word] as number),
    read: (reader) => byNumber.get(codec.read(reader)),
  };
}

/** NFTA_DATA_VALUE wrapped in its nest: how registers' contents travel. */
const dataAttributes = attributeTable({
  value: { number: 1, codec: bytes, meaning: "register contents" },
});

export const data = nested(dataAttributes);
export const register = be32;
