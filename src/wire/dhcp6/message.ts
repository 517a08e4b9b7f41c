import { WireError } from "../../base/errors.ts";
import { type Mac, macToBytes } from "../../base/mac.ts";
import { bufferOf } from "../dhcp/codecs.ts";
import { decodeDhcp6Options, type Dhcp6Option, encodeDhcp6Options } from "./options.ts";

/** RFC 8415 §7.3. */
export const dhcp6Type = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
  relayForward: 12,
  relayReply: 13,
} as const;

/** RFC 8415 §21.13. */
export const dhcp6Status = { success: 0, noAddress: 2, noBinding: 3, notOnLink: 4, useMulticast: 5, noPrefix: 6 } as const;
export const dhcp6Port = { client: 546, server: 547 } as const;

export type Dhcp6Message = { type: number; transaction: number; options: readonly Dhcp6Option[] };

/** A UDP payload as a message. Those of relays have another shape and are refused. @throws WireError */
export function decodeDhcp6(input: Uint8Array): Dhcp6Message {
  const bytes = bufferOf(input);
  if (bytes.length < 4) throw new WireError("dhcpv6", `has ${bytes.length} bytes, at least 4 are wanted`);
  const type = bytes.readUInt8(0);
  if (type === dhcp6Type.relayForward || type === dhcp6Type.relayReply) throw new WireError("dhcpv6", "is a relay's message", 0);
  return { type, transaction: bytes.readUIntBE(1, 3), options: decodeDhcp6Options(bytes.subarray(4)) };
}

/** @throws WireError when an option has no form on the wire */
export function encodeDhcp6({ type, transaction, options }: Dhcp6Message): Uint8Array {
  return Buffer.concat([Uint8Array.of(type, transaction >>> 16, transaction >>> 8, transaction), encodeDhcp6Options(options)]);
}

/** The first option of a kind, or undefined. */
export function dhcp6OptionOf<Kind extends Dhcp6Option["kind"]>(
  options: readonly Dhcp6Option[],
  kind: Kind,
): Extract<Dhcp6Option, { kind: Kind }> | undefined {
  return options.find((option): option is Extract<Dhcp6Option, { kind: Kind }> => option.kind === kind);
}

/** A unique identifier made from an Ethernet address alone (DUID-LL, RFC 8415 §11.4). */
export function duidOfMac(mac: Mac): Uint8Array {
  return Uint8Array.of(0, 3, 0, 1, ...macToBytes(mac));
}
