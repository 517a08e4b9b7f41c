import { WireError } from "../../base/errors.ts";
import { Writer } from "../netlink/bytes.ts";

/** User data as nft keeps it: type, length and value in bytes (libnftnl udata.h). Numbers are in host order. */
export type UserDataItem = { type: number; value: Uint8Array };

/** The type of a comment in the user data of tables, chains, rules and elements alike. */
export const commentType = 0;

/** Items of a set's user data. */
export const setItems = { keyByteOrder: 0, dataByteOrder: 1 } as const;

/** nft's word for how a set's key or data is to be read. */
export const byteOrders = { none: 0, host: 1, network: 2 } as const;

/** The item that tells nft an interval has no end element, in an element's user data. */
export const openInterval: UserDataItem = { type: 1, value: Uint8Array.of(1, 0, 0, 0) };

/** @throws WireError when a value is longer than 255 bytes, or all together are longer than the kernel's 256 */
export function encodeUserData(items: readonly UserDataItem[]): Uint8Array {
  const writer = new Writer(64);
  for (const { type, value } of items) {
    if (value.length > 255) throw new WireError("nftables user data", `an item has ${value.length} bytes and may have 255`);
    writer.u8(type);
    writer.u8(value.length);
    writer.write(value);
  }
  if (writer.length > 256) throw new WireError("nftables user data", `${writer.length} bytes are more than the kernel's 256`);
  return writer.finish();
}

/** The items up to the first that is cut short: other programs may put anything here. */
export function decodeUserData(bytes: Uint8Array): UserDataItem[] {
  const items: UserDataItem[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const end = at + 2 + (bytes[at + 1] ?? 0);
    if (end > bytes.length) break;
    items.push({ type: bytes[at] ?? 0, value: bytes.subarray(at + 2, end) });
    at = end;
  }
  return items;
}

/** A comment with its terminating NUL, as nft writes it. @throws WireError when it is longer than 254 bytes */
export function commentItem(text: string): UserDataItem {
  return { type: commentType, value: new TextEncoder().encode(`${text}\0`) };
}

export function commentOf(userData: Uint8Array | undefined): string | undefined {
  const item = userData === undefined ? undefined : decodeUserData(userData).find(({ type }) => type === commentType);
  if (item === undefined) return undefined;
  const nul = item.value.indexOf(0);
  return new TextDecoder().decode(nul === -1 ? item.value : item.value.subarray(0, nul));
}

export function numberItem(type: number, value: number): UserDataItem {
  const writer = new Writer(4);
  writer.u32(value);
  return { type, value: writer.finish() };
}
