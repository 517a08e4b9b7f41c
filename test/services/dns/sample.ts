import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { type Ip, parseIp } from "../../../src/base/ip.ts";
import { isFault, type Name, parseName } from "../../../src/base/names.ts";
import { parsePort, type Port } from "../../../src/base/port.ts";
import { parsePrefix, type Prefix } from "../../../src/base/prefix.ts";
import type { GuestRecord } from "../../../src/services/dns/zone.ts";

export function ip(text: string): Ip {
  const value = parseIp(text);
  if (value === undefined) throw new TypeError(`not an address: ${text}`);
  return value;
}

export function prefix(text: string): Prefix {
  const value = parsePrefix(text);
  if (typeof value !== "string") throw new TypeError(`not a prefix: ${text}`);
  return value;
}

/** A name of a network, guest or alias. */
export function network(text: string): Name {
  const value = parseName(text);
  if (isFault(value)) throw new TypeError(value.fault);
  return value;
}

export function guest(name: string, ...addresses: string[]): GuestRecord {
  return { guest: network(name), addresses: addresses.map(ip) };
}

/** A port that is free on an address for UDP and TCP alike. */
export async function freePort(address: string): Promise<Port> {
  for (let tries = 0; tries < 20; tries++) {
    const server = createServer();
    server.listen(0, address);
    await once(server, "listening");
    const port = parsePort((server.address() as { port: number }).port) as Port;
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.bind({ port, address, exclusive: true });
    const free = await once(socket, "listening").then(
      () => true,
      () => false,
    );
    socket.close();
    await new Promise((done) => server.close(done));
    if (free) return port;
  }
  throw new Error("no port is free");
}
