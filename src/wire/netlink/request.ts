import type { AttributeSpecs, AttributesInput, AttributeTable } from "./attributes.ts";
import type { AnyCodec, EncodableBy } from "./codecs.ts";
import type { NetlinkRequest } from "./message.ts";
import { Writer } from "./bytes.ts";

/** A request of the usual shape, a family's structure and then attributes, that can name its attributes in errors as `root.…`. */
export function attributeRequest<H extends AnyCodec & { readonly size: number }, S extends AttributeSpecs>(request: {
  type: number;
  flags?: number;
  root: string;
  headerCodec: H;
  header: EncodableBy<H>;
  table: AttributeTable<S>;
  attributes: AttributesInput<S>;
}): NetlinkRequest {
  const { headerCodec, table, root } = request;
  const writer = new Writer();
  headerCodec.write(writer, request.header);
  table.write(writer, request.attributes);
  const body = writer.finish();
  return {
    type: request.type,
    flags: request.flags,
    body,
    describe: (at) => (at < headerCodec.size ? `${root} header` : table.path(body, { root, at, offset: headerCodec.size })),
  };
}
