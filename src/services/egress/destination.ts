import { canonicalName, type HostName, quoted } from "../../base/host-name.ts";
import type { Ip } from "../../base/ip.ts";
import { parseIpv4 } from "../../base/ipv4.ts";
import { parseIpv6 } from "../../base/ipv6.ts";
import { isFault } from "../../base/names.ts";
import { parsePort, type Port } from "../../base/port.ts";

/** Where a client wants to go, in the one form everything after is decided on. */
export type Destination = { kind: "name"; name: HostName; port: Port } | { kind: "address"; address: Ip; port: Port };

/** `host:port`, `1.2.3.4:port` or `[v6]:port`. The port may only be left out when there is a usual one. */
export function parseAuthority(text: string, usualPort?: Port): Destination | { fault: string } {
  const [, host, portText] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (host === undefined) return { fault: `${quoted(text)} is not host:port` };
  const port = portText === undefined ? usualPort : parsePort(portText);
  if (port === undefined) return { fault: `${quoted(text)} has no port within 1-65535` };
  return parseHost(host, port);
}

/** A host as HTTP writes it: IPv6 addresses in brackets and without zone, IPv4 in its usual form only. */
export function parseHost(host: string, port: Port): Destination | { fault: string } {
  const address = host.startsWith("[") && host.endsWith("]") ? parseIpv6(host.slice(1, -1)) : parseIpv4(host);
  if (address !== undefined) return { kind: "address", address, port };
  const name = canonicalName(host);
  return isFault(name) ? name : { kind: "name", name, port };
}

/** `example.com`, `1.2.3.4`, `[2001:db8::1]`. */
export function hostText(to: Destination): string {
  if (to.kind === "name") return to.name;
  return to.address.includes(":") ? `[${to.address}]` : to.address;
}
