import { z } from "zod";
import { parseIp } from "../base/ip.ts";
import { isFault, parseName } from "../base/names.ts";
import { parsePort, type Port, type Transport } from "../base/port.ts";

/**
 * Where a packet in question goes: a guest's name, an address, or a name of the world, with a port unless the protocol has none. A port
 * may say which protocol's it is.
 */
export type WhyTarget = { host: string; port?: Port; protocol?: Transport };

/** Reads NAME, ADDRESS, NAME:PORT, ADDRESS:PORT and [IPV6]:PORT, and behind a port /tcp or /udp. */
export const target = z
  .string()
  .min(1)
  .max(300)
  .describe("NAME or ADDRESS, with :PORT or :PORT/udp; an IPv6 address with a port stands in brackets")
  .transform((text, context): WhyTarget => {
    const read = readTarget(text);
    if (read !== undefined) return read;
    context.issues.push({
      code: "custom",
      message: `"${text}" is not NAME:PORT or ADDRESS:PORT like web:80, 10.0.0.5:53/udp or [fd00::5]:80`,
      input: text,
    });
    return z.NEVER;
  });

function readTarget(whole: string): WhyTarget | undefined {
  const [, text, protocol] = /^(.*)\/(tcp|udp)$/.exec(whole) ?? [];
  if (text === undefined) return readPlain(whole);
  const found = readPlain(text);
  return found?.port === undefined ? undefined : { ...found, protocol: protocol as Transport };
}

function readPlain(text: string): WhyTarget | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  if (bracketed !== null) return compose(bracketed[1] ?? "", bracketed[2]);
  if (parseIp(text) !== undefined) return { host: text };
  const colon = text.lastIndexOf(":");
  return colon === -1 ? compose(text, undefined) : compose(text.slice(0, colon), text.slice(colon + 1));
}

function compose(host: string, portText: string | undefined): WhyTarget | undefined {
  const address = parseIp(host);
  const labels = host.split(".");
  if (address === undefined && labels.some((label) => isFault(parseName(label)))) return undefined;
  if (portText === undefined) return { host: address ?? host };
  const port = parsePort(portText);
  return port === undefined ? undefined : { host: address ?? host, port };
}
