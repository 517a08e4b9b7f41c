import { classlessRoutesCodec } from "./classless-routes.ts";
import { bytesCodec, flagCodec, ipv4Codec, ipv4ListCodec, type OptionCodec, textCodec, u16Codec, u32Codec, u8Codec } from "./codecs.ts";
import { searchCodec } from "./search.ts";

/** Options we name (IANA "BOOTP Vendor Extensions and DHCP Options"); every other code is kept as it came. */
const table = {
  subnetMask: { code: 1, codec: ipv4Codec, meaning: "RFC 2132 §3.3" },
  routers: { code: 3, codec: ipv4ListCodec, meaning: "RFC 2132 §3.5, most preferred first" },
  dnsServers: { code: 6, codec: ipv4ListCodec, meaning: "RFC 2132 §3.8" },
  hostname: { code: 12, codec: textCodec, meaning: "RFC 2132 §3.14" },
  domain: { code: 15, codec: textCodec, meaning: "RFC 2132 §3.17" },
  mtuBytes: { code: 26, codec: u16Codec, meaning: "RFC 2132 §5.1" },
  broadcast: { code: 28, codec: ipv4Codec, meaning: "RFC 2132 §5.3" },
  requestedAddress: { code: 50, codec: ipv4Codec, meaning: "RFC 2132 §9.1" },
  leaseSeconds: { code: 51, codec: u32Codec, meaning: "RFC 2132 §9.2" },
  messageType: { code: 53, codec: u8Codec, meaning: "RFC 2132 §9.6" },
  serverId: { code: 54, codec: ipv4Codec, meaning: "RFC 2132 §9.7" },
  parameters: { code: 55, codec: bytesCodec, meaning: "RFC 2132 §9.8: codes the client wants, most wanted first" },
  message: { code: 56, codec: textCodec, meaning: "RFC 2132 §9.9: why a NAK was sent" },
  maxMessageBytes: { code: 57, codec: u16Codec, meaning: "RFC 2132 §9.10" },
  renewalSeconds: { code: 58, codec: u32Codec, meaning: "RFC 2132 §9.11" },
  rebindingSeconds: { code: 59, codec: u32Codec, meaning: "RFC 2132 §9.12" },
  vendorClass: { code: 60, codec: textCodec, meaning: "RFC 2132 §9.13" },
  clientId: { code: 61, codec: bytesCodec, meaning: "RFC 2132 §9.14, opaque; servers give it back (RFC 6842)" },
  rapidCommit: { code: 80, codec: flagCodec, meaning: "RFC 4039" },
  relayInformation: { code: 82, codec: bytesCodec, meaning: "RFC 3046, opaque; servers give it back" },
  search: { code: 119, codec: searchCodec, meaning: "RFC 3397" },
  classlessRoutes: { code: 121, codec: classlessRoutesCodec, meaning: "RFC 3442: a client that asks for it ignores `routers`" },
} as const;

export type DhcpOptionName = keyof typeof table;
export type DhcpOptionValue<Name extends DhcpOptionName> = (typeof table)[Name]["codec"] extends OptionCodec<infer T> ? T : never;

/** Option data by code, in the order of the message; the parts of a long option are joined already (RFC 3396). */
export type DhcpOptions = ReadonlyMap<number, Uint8Array>;

export function optionCode(name: DhcpOptionName): number {
  return table[name].code;
}

/** The option's value, or undefined when the message has none. @throws WireError when its data is malformed */
export function readOption<Name extends DhcpOptionName>(options: DhcpOptions, name: Name): DhcpOptionValue<Name> | undefined {
  const data = options.get(table[name].code);
  const codec = table[name].codec as OptionCodec<DhcpOptionValue<Name>>;
  return data === undefined ? undefined : codec.decode(data, `dhcp option ${name}`);
}

/** Adds or replaces an option. @throws WireError when the value has no form on the wire */
export function writeOption<Name extends DhcpOptionName>(options: Map<number, Uint8Array>, name: Name, value: DhcpOptionValue<Name>): void {
  const codec = table[name].codec as OptionCodec<DhcpOptionValue<Name>>;
  options.set(table[name].code, codec.encode(value));
}
