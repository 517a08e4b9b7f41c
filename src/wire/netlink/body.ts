import type { Attributes, AttributeSpecs, AttributesInput, AttributeTable } from "./attributes.ts";
import { Reader } from "./bytes.ts";
import type { AnyCodec, DecodedBy, EncodableBy } from "./codecs.ts";
import type { NetlinkRequest } from "./message.ts";
import { attributeRequest } from "./request.ts";

type Header = AnyCodec & { readonly size: number };

/** What the messages of one kind of object have in common: a structure, then attributes of one table. */
export type Body<H extends Header, S extends AttributeSpecs> = {
  /** A request whose refusals name the attribute. `flags` are NLM_F_* beyond REQUEST and ACK. */
  request(type: number, content: { flags?: number; header: EncodableBy<H>; attributes?: AttributesInput<S> }): NetlinkRequest;
  /** @throws WireError with the attribute's path */
  decode(bytes: Uint8Array): { header: DecodedBy<H>; attributes: Attributes<S> };
};

/** `root` begins every attribute path in errors: `link.info.kind`. */
export function bodyOf<H extends Header, S extends AttributeSpecs>(root: string, headerCodec: H, table: AttributeTable<S>): Body<H, S> {
  return {
    request: (type, { flags = 0, header, attributes = {} }) =>
      attributeRequest({ type, flags, root, headerCodec, header, table, attributes }),
    decode(bytes) {
      const header = headerCodec.read(new Reader(bytes, `${root} header`)) as DecodedBy<H>;
      return { header, attributes: table.decode(bytes, root, headerCodec.size) };
    },
  };
}
