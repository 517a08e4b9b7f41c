import { WireError } from "../../base/errors.ts";
import type { DecodedOf, InputOf } from "../netlink/attributes.ts";
import type { setAttributes } from "./attributes.ts";
import { setFlags, verdictDataType } from "./attributes.ts";
import { concatNumber, dataTypes, paddedLength, splitNumber, typeOf, type ValueType } from "./datatypes.ts";
import { objectTypes } from "./object-types.ts";
import { byteOrders, encodeUserData, numberItem, setItems } from "./userdata.ts";

/** A set as the kernel defines it: the model's `NftSet`, with the types that only anonymous sets use. */
export type SetDefinition = {
  name: string;
  /** Names the set within one batch; the kernel wants one for every set that is made. */
  id?: number;
  key: readonly ValueType[];
  data?: readonly ValueType[] | "verdict" | "counter";
  interval: boolean;
  timeout?: true;
  /** Made with a rule and gone with it; `size` is the number of its entries, known beforehand. */
  anonymous?: { size: number };
};

/** Bytes of a key: each part padded to whole registers when there are several. */
export function keyLength(set: SetDefinition): number {
  return joinedLength(set.key);
}

/** Bytes of what a map gives; 0 for sets and for verdicts and objects. */
export function dataLength(set: SetDefinition): number {
  return typeof set.data === "object" ? joinedLength(set.data) : 0;
}

/** NFTA_SET_* of a set to be made. @throws WireError when the kernel could not sort its intervals, or there are no key parts */
export function encodeSet(table: string, set: SetDefinition): InputOf<typeof setAttributes> {
  const [first] = set.key;
  if (first === undefined || keyLength(set) > 64) throw new WireError(`set ${set.name}`, "a key has 1 to 64 bytes");
  if (set.interval && set.key.length === 1 && dataTypes[first].order !== "network") {
    throw new WireError(`set ${set.name}`, `cannot have intervals of ${first}: their bytes do not sort as their values`);
  }
  const concatenated = set.interval && set.key.length > 1;
  return {
    table,
    name: set.name,
    flags: flagsOf(set) | (concatenated ? setFlags.concatenation : 0),
    keyType: concatNumber(set.key),
    keyLength: keyLength(set),
    ...dataInput(set),
    id: set.id,
    description: concatenated
      ? { size: set.anonymous?.size, fields: set.key.map((part) => ({ length: dataTypes[part].length })) }
      : set.anonymous === undefined
        ? undefined
        : { size: set.anonymous.size },
    userData: encodeUserData(listingHints(set)),
  };
}

/** The definition behind a dumped set; undefined when its types are none of ours. */
export function decodeSet(attributes: DecodedOf<typeof setAttributes>): SetDefinition | undefined {
  const { name, flags = 0, keyType, dataType, objectType } = attributes;
  const key = keyType === undefined ? undefined : splitNumber(keyType);
  if (name === undefined || key === undefined || (flags & setFlags.evaluated) !== 0) return undefined;
  const interval = (flags & setFlags.interval) !== 0;
  const further = {
    ...((flags & setFlags.timeout) === 0 ? {} : { timeout: true as const }),
    ...((flags & setFlags.anonymous) === 0 ? {} : { anonymous: { size: attributes.description?.size ?? 0 } }),
  };
  if ((flags & setFlags.object) !== 0)
    return objectType === objectTypes.counter ? { name, key, data: "counter", interval, ...further } : undefined;
  if ((flags & setFlags.map) === 0) return { name, key, interval, ...further };
  const data = dataType === verdictDataType ? "verdict" : dataType === undefined ? undefined : splitNumber(dataType);
  return data === undefined ? undefined : { name, key, data, interval, ...further };
}

function joinedLength(parts: readonly ValueType[]): number {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? typeOf(only).length : parts.reduce((sum, part) => sum + paddedLength(part), 0);
}

function flagsOf(set: SetDefinition): number {
  const map = set.data === undefined ? 0 : set.data === "counter" ? setFlags.object : setFlags.map;
  const life = set.timeout === undefined ? 0 : setFlags.timeout;
  return map | life | (set.interval ? setFlags.interval : 0) | (set.anonymous === undefined ? 0 : setFlags.anonymous | setFlags.constant);
}

function dataInput(set: SetDefinition): InputOf<typeof setAttributes> {
  if (set.data === undefined) return {};
  if (set.data === "counter") return { objectType: objectTypes.counter };
  if (set.data === "verdict") return { dataType: verdictDataType, dataLength: 0 };
  return { dataType: concatNumber(set.data), dataLength: dataLength(set) };
}

/** Without them `nft list` prints numbers in host order backwards. */
function listingHints(set: SetDefinition) {
  const key = numberItem(setItems.keyByteOrder, byteOrderOf(set.key));
  return typeof set.data === "object" ? [key, numberItem(setItems.dataByteOrder, byteOrderOf(set.data))] : [key];
}

function byteOrderOf(parts: readonly ValueType[]): number {
  const [only] = parts;
  if (parts.length !== 1 || only === undefined) return byteOrders.none;
  return dataTypes[only].order === "network" ? byteOrders.network : byteOrders.host;
}
