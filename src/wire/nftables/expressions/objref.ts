import { attributeTable } from "../../netlink/attributes.ts";
import { bareString, be32 } from "../../netlink/codecs.ts";
import { expressionCodec, oneOf, register } from "../codec.ts";
import { objectTypes } from "../object-types.ts";

/** NFTA_OBJREF_*: an object by name, or the one a map gives for a key. */
const table = attributeTable({
  type: { number: 1, codec: oneOf(be32, objectTypes), meaning: "NFT_OBJECT_*" },
  name: { number: 2, codec: bareString, meaning: "name of the object" },
  sreg: { number: 3, codec: register, meaning: "first register of the key" },
  set: { number: 4, codec: bareString, meaning: "name of the map" },
  setId: { number: 5, codec: be32, meaning: "number of a map made in the same batch" },
});

export const objref = expressionCodec("objref", table, {
  encode(e) {
    if (e.kind === "objref") return { type: e.object, name: e.name };
    return e.kind === "objref-map" ? { sreg: e.sreg, set: e.set, setId: e.setId } : undefined;
  },
  decode({ type, name, sreg, set, setId }) {
    if (type !== undefined && name !== undefined) return { kind: "objref", object: type, name };
    return sreg === undefined || set === undefined
      ? undefined
      : { kind: "objref-map", set, ...(setId === undefined ? {} : { setId }), sreg };
  },
});
