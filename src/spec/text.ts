import { z } from "zod";
import { type Ip, type IpFamily, ipFamily, parseIp } from "../base/ip.ts";
import { type Mac, parseMac } from "../base/mac.ts";
import { type IfName, isFault, type Name, parseIfName, parseName } from "../base/names.ts";
import { parsePort, type Port } from "../base/port.ts";
import { type Cidr, parseCidr, parsePrefix, type Prefix } from "../base/prefix.ts";

/** Schemas for the values of base/: text in, branded value out, with a sentence that says what is wrong and what would be right. */

export const ipText = fromText<Ip>((text) => parseIp(text) ?? { fault: `"${text}" is not an IP address` }, "an IPv4 or IPv6 address");
export const ipv4Text = fromText<Ip>((text) => ofFamily(text, 4), "an IPv4 address");
export const ipv6Text = fromText<Ip>((text) => ofFamily(text, 6), "an IPv6 address");
export const macText = fromText<Mac>(
  (text) => parseMac(text) ?? { fault: `"${text}" is not a MAC address like 02:00:5e:10:00:01` },
  "a MAC address",
);
export const ifNameText = fromText<IfName>(parseIfName, "an interface name of at most 15 bytes");
export const nameText = fromText<Name>(parseName, "lower-case letters, digits and -, at most 63");
export const cidrText = fromText<Cidr>(
  (text) => parseCidr(text) ?? { fault: `"${text}" is not an address with a prefix length like 10.0.0.1/24` },
  "an address with its prefix length",
);

export const prefixText = fromText<Prefix>((text) => {
  const prefix = parsePrefix(text);
  if (typeof prefix === "string") return prefix;
  switch (prefix.fault) {
    case "host-bits":
      return { fault: `"${text}" has bits set below its mask; did you mean ${prefix.meant}?` };
    case "length":
      return { fault: `"${text}" has a prefix length out of range` };
    case "syntax":
      return { fault: `"${text}" is not a subnet like 10.0.42.0/24 or fd00:42::/64` };
  }
}, "a subnet in CIDR notation");

export const portNumber = z
  .number()
  .int()
  .min(1)
  .max(65535)
  .transform((n) => parsePort(n) as Port);

function ofFamily(text: string, family: IpFamily): Ip | { fault: string } {
  const address = parseIp(text);
  return address !== undefined && ipFamily(address) === family ? address : { fault: `"${text}" is not an IPv${family} address` };
}

function fromText<T>(parse: (text: string) => T | { fault: string }, description: string) {
  return z
    .string()
    .describe(description)
    .transform((text, context): T => {
      const value = parse(text);
      if (!isFault(value)) return value;
      context.issues.push({ code: "custom", message: value.fault, input: text });
      return z.NEVER;
    });
}
