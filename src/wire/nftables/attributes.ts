import { attributeTable } from "../netlink/attributes.ts";
import { be32, be64, bytes, string } from "../netlink/codecs.ts";
import { list, nested } from "../netlink/nesting.ts";
import { data, oneOf } from "./codec.ts";
import { expressionList } from "./expressions.ts";
import { verdictAttributes } from "./verdict.ts";

/** NFT_TABLE_F_*. */
export const tableFlags = { dormant: 1, owner: 2, persist: 4 } as const;

/** NFTA_TABLE_*. */
export const tableAttributes = attributeTable({
  name: { number: 1, codec: string, meaning: "name" },
  flags: { number: 2, codec: be32, meaning: "NFT_TABLE_F_*" },
  use: { number: 3, codec: be32, meaning: "chains in it" },
  handle: { number: 4, codec: be64, meaning: "kernel's number" },
  padding: { number: 5, codec: bytes, meaning: "alignment of the values" },
  userData: { number: 6, codec: bytes, meaning: "comment and the like" },
  owner: { number: 7, codec: be32, meaning: "port id of the socket it belongs to" },
});

/** NFTA_HOOK_*. */
const hookAttributes = attributeTable({
  hook: { number: 1, codec: be32, meaning: "NF_INET_*, NF_BR_* and so on" },
  priority: { number: 2, codec: be32, meaning: "order among base chains, as a signed number" },
  device: { number: 3, codec: string, meaning: "netdev: the device" },
});

/** NFTA_CHAIN_*, in the order nft writes them. */
export const chainAttributes = attributeTable({
  table: { number: 1, codec: string, meaning: "table" },
  name: { number: 3, codec: string, meaning: "name" },
  type: { number: 7, codec: string, meaning: "filter, nat or route" },
  policy: { number: 5, codec: oneOf(be32, { drop: 0, accept: 1 }), meaning: "verdict when no rule gives one" },
  hook: { number: 4, codec: nested(hookAttributes), meaning: "where a base chain hangs" },
  handle: { number: 2, codec: be64, meaning: "kernel's number" },
  use: { number: 6, codec: be32, meaning: "references to it" },
  flags: { number: 10, codec: be32, meaning: "NFT_CHAIN_*" },
  userData: { number: 12, codec: bytes, meaning: "comment" },
});

/** NFTA_RULE_*. */
export const ruleAttributes = attributeTable({
  table: { number: 1, codec: string, meaning: "table" },
  chain: { number: 2, codec: string, meaning: "chain" },
  handle: { number: 3, codec: be64, meaning: "kernel's number" },
  expressions: { number: 4, codec: expressionList, meaning: "instructions" },
  position: { number: 6, codec: be64, meaning: "handle of the rule before" },
  userData: { number: 7, codec: bytes, meaning: "comment" },
  padding: { number: 8, codec: bytes, meaning: "alignment of the values" },
});

/** NFT_SET_*. */
export const setFlags = {
  anonymous: 1,
  constant: 2,
  interval: 4,
  map: 8,
  timeout: 0x10,
  evaluated: 0x20,
  object: 0x40,
  concatenation: 0x80,
} as const;

/** NFT_DATA_VERDICT: the data type of a verdict map. */
export const verdictDataType = 0xffffff00;

const fieldAttributes = attributeTable({
  length: { number: 1, codec: be32, meaning: "bytes of one part of a concatenation" },
});

/** NFTA_SET_DESC_*. */
const descriptionAttributes = attributeTable({
  size: { number: 1, codec: be32, meaning: "most elements" },
  fields: { number: 2, codec: list(nested(fieldAttributes)), meaning: "parts of a concatenation that has intervals" },
});

/** NFTA_SET_*, in the order nft writes them. */
export const setAttributes = attributeTable({
  table: { number: 1, codec: string, meaning: "table" },
  name: { number: 2, codec: string, meaning: "name, %d for a number of the kernel's choice" },
  flags: { number: 3, codec: be32, meaning: "NFT_SET_*" },
  keyType: { number: 4, codec: be32, meaning: "nft's type number, for listings" },
  keyLength: { number: 5, codec: be32, meaning: "bytes of a key" },
  dataType: { number: 6, codec: be32, meaning: "nft's type number, or that of verdicts" },
  dataLength: { number: 7, codec: be32, meaning: "bytes of a value" },
  objectType: { number: 15, codec: be32, meaning: "NFT_OBJECT_*: what the map names" },
  id: { number: 10, codec: be32, meaning: "number within a batch" },
  description: { number: 9, codec: nested(descriptionAttributes), meaning: "size and shape" },
  userData: { number: 13, codec: bytes, meaning: "what nft wants to know for listings" },
  policy: { number: 8, codec: be32, meaning: "speed or memory" },
  handle: { number: 16, codec: be64, meaning: "kernel's number" },
  timeout: { number: 11, codec: be64, meaning: "milliseconds an element lives" },
});

/** NFT_SET_ELEM_INTERVAL_END. */
export const elementFlags = { intervalEnd: 1, catchAll: 2 } as const;

const elementData = attributeTable({
  value: { number: 1, codec: bytes, meaning: "what the map gives" },
  verdict: { number: 2, codec: nested(verdictAttributes), meaning: "what a verdict map gives" },
});

/** NFTA_SET_ELEM_*, in the order nft writes them. */
const elementAttributes = attributeTable({
  flags: { number: 3, codec: be32, meaning: "NFT_SET_ELEM_*" },
  key: { number: 1, codec: data, meaning: "key, or the first of a range" },
  keyEnd: { number: 10, codec: data, meaning: "last of a range of a concatenation" },
  data: { number: 2, codec: nested(elementData), meaning: "what a map gives" },
  timeout: { number: 4, codec: be64, meaning: "milliseconds it lives" },
  expiration: { number: 5, codec: be64, meaning: "milliseconds it has left" },
  userData: { number: 6, codec: bytes, meaning: "comment" },
  object: { number: 9, codec: string, meaning: "name of the object the map gives" },
});

/** NFTA_SET_ELEM_LIST_*. Writing goes through element-writer.ts, which is faster. */
export const elementListAttributes = attributeTable({
  table: { number: 1, codec: string, meaning: "table" },
  set: { number: 2, codec: string, meaning: "set" },
  id: { number: 4, codec: be32, meaning: "number of a set made in the same batch" },
  elements: { number: 3, codec: list(nested(elementAttributes)), meaning: "elements" },
});

/** NFTA_OBJ_*; the data is that of a counter, the one kind we read. */
export const objectAttributes = attributeTable({
  table: { number: 1, codec: string, meaning: "table" },
  name: { number: 2, codec: string, meaning: "name" },
  type: { number: 3, codec: be32, meaning: "NFT_OBJECT_*" },
  data: { number: 4, codec: { ...bytes, nested: true }, meaning: "state of the object" },
  use: { number: 5, codec: be32, meaning: "references to it" },
  handle: { number: 6, codec: be64, meaning: "kernel's number" },
  padding: { number: 7, codec: bytes, meaning: "alignment of the values" },
});

/** NFTA_GEN_*: who changed the ruleset. */
export const generationAttributes = attributeTable({
  id: { number: 1, codec: be32, meaning: "grows with each change" },
  pid: { number: 2, codec: be32, meaning: "process that made it" },
  comm: { number: 3, codec: string, meaning: "name of that process" },
});

/** NFNL_BATCH_*. */
export const batchAttributes = attributeTable({
  generation: { number: 1, codec: be32, meaning: "refuse the batch when the ruleset has another generation" },
});
