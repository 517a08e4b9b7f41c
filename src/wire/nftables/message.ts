import { WireError } from "../../base/errors.ts";
import type { AttributeSpecs, Attributes, AttributesInput, AttributeTable } from "../netlink/attributes.ts";
import { Writer } from "../netlink/bytes.ts";
import type { Family } from "./model.ts";

/** NFPROTO_* (uapi netfilter.h). */
export const familyNumbers = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const satisfies Record<Family, number>;

const subsystem = 10 << 8;

/** NFT_MSG_* with the subsystem number in front, as they stand in a message's type. */
export const messageType = {
  newTable: subsystem | 0,
  getTable: subsystem | 1,
  deleteTable: subsystem | 2,
  newChain: subsystem | 3,
  getChain: subsystem | 4,
  deleteChain: subsystem | 5,
  newRule: subsystem | 6,
  getRule: subsystem | 7,
  deleteRule: subsystem | 8,
  newSet: subsystem | 9,
  getSet: subsystem | 10,
  deleteSet: subsystem | 11,
  newElements: subsystem | 12,
  getElements: subsystem | 13,
  deleteElements: subsystem | 14,
  newGeneration: subsystem | 15,
  getGeneration: subsystem | 16,
  newObject: subsystem | 18,
  getObject: subsystem | 19,
  deleteObject: subsystem | 20,
} as const;

/** NFNL_MSG_BATCH_*; the header's resource id says whose batch it is. */
export const batchType = { begin: 16, end: 17 } as const;
export const nftablesSubsystem = 10;

/** NFNLGRP_NFTABLES (uapi nfnetlink.h). */
export const changesGroup = 7;

const headerBytes = 4;

/** struct nfgenmsg (uapi nfnetlink.h): family, version 0, resource id in network order. */
export function writeGenericHeader(writer: Writer, family: Family | "any", resource = 0): void {
  writer.u8(family === "any" ? 0 : familyNumbers[family]);
  writer.u8(0);
  writer.be16(resource);
}

/** A message body: the generic header and attributes. @throws WireError */
export function encodeBody<S extends AttributeSpecs>(
  table: AttributeTable<S>,
  family: Family | "any",
  value: AttributesInput<S>,
): Uint8Array {
  const writer = new Writer(256);
  writeGenericHeader(writer, family);
  table.write(writer, value);
  return writer.finish();
}

/** The family and attributes of a message body; undefined for a family the model has no word for. @throws WireError */
export function decodeBody<S extends AttributeSpecs>(
  table: AttributeTable<S>,
  body: Uint8Array,
  root: string,
): { family: Family | undefined; attributes: Attributes<S> } {
  if (body.length < headerBytes) throw new WireError(root, `${headerBytes} bytes are wanted and ${body.length} are left`, 0);
  return { family: familyOf(body[0] ?? 0), attributes: table.decode(body, root, headerBytes) };
}

/** Names the attribute at a byte of a body, for errors. */
export function describeBody<S extends AttributeSpecs>(
  table: AttributeTable<S>,
  body: Uint8Array,
  root: string,
): (offset: number) => string {
  return (at) => table.path(body, { root, at, offset: headerBytes });
}

function familyOf(number: number): Family | undefined {
  for (const [name, value] of Object.entries(familyNumbers)) if (value === number) return name as Family;
  return undefined;
}
