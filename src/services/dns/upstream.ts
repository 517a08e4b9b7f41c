import { type Ip, parseIp } from "../../base/ip.ts";

/** A resolver we ask. `zone` is the interface of a link-local address. */
export type Upstream = { address: Ip; zone?: string; port: number };

export const dnsPort = 53;

/** `1.1.1.1`, `fe80::1%eth0`, `1.1.1.1#5353` or `[::1]:5353`; undefined for anything else. */
export function parseUpstream(text: string): Upstream | undefined {
  const match = /^\[(?<host>[^\]]+)\]:(?<port>\d{1,5})$/.exec(text) ?? /^(?<host>[^#]+)(#(?<port>\d{1,5}))?$/.exec(text);
  const [host = "", zone] = (match?.groups?.["host"] ?? "").split("%");
  const address = parseIp(host);
  const port = Number(match?.groups?.["port"] ?? dnsPort);
  if (address === undefined || port < 1 || port > 65535) return undefined;
  return { address, port, ...(zone === undefined || zone === "" ? {} : { zone }) };
}

/** The address as the socket calls take it. */
export function upstreamHost(upstream: Upstream): string {
  return upstream.zone === undefined ? upstream.address : `${upstream.address}%${upstream.zone}`;
}

/** One text per upstream, for keys and logs. */
export function upstreamText(upstream: Upstream): string {
  return `${upstreamHost(upstream)}#${upstream.port}`;
}
