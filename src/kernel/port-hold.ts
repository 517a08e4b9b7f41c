import { type Ipv6, parseIpv6 } from "../base/ipv6.ts";
import { ipToBytes } from "../base/ip.ts";
import type { IfName } from "../base/names.ts";
import { bindSocket, family, openSocket, setOption, socketOption, socketType, trySocketOption } from "../sys/socket.ts";
import { refuseAll } from "./packet-filter.ts";
import { attachFilter, interfaceNumber } from "./packet-socket.ts";

/** `groups`: multicast groups the interface is to listen to meanwhile. */
export type HeldPort = { interface: IfName; family: 4 | 6; port: number; groups?: readonly Ipv6[] };

/**
 * A UDP port on one interface, taken and deaf: while a packet socket serves it, the kernel must not answer clients with
 * "port unreachable". @throws KernelError, EADDRINUSE when a program has the port on every interface for itself
 */
export function holdPort({ interface: name, family: ip, port, groups = [] }: HeldPort): Disposable {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(ip === 4 ? family.inet : family.inet6, socketType.datagram, { nonBlocking: true }));
  attachFilter(fd, refuseAll());
  trySocketOption(fd, socketOption.reuseAddress, 1);
  if (ip === 6) setOption(fd, { level: protocolIpv6, name: ipv6Only, value: 1, op: "keep a socket to IPv6" });
  setOption(fd, {
    level: solSocket,
    name: socketOption.bindToDevice,
    value: Buffer.from(`${name}\0`, "latin1"),
    op: `keep a socket to ${name}`,
  });
  const address = Buffer.alloc(ip === 4 ? 16 : 28);
  address.writeUInt16LE(ip === 4 ? family.inet : family.inet6, 0);
  address.writeUInt16BE(port, 2);
  bindSocket(fd, address, `hold UDP port ${port} on ${name}`);
  const index = interfaceNumber(name) ?? 0;
  for (const group of groups) {
    const request = Buffer.alloc(20);
    request.set(ipToBytes(group));
    request.writeUInt32LE(index, 16);
    setOption(fd, { level: protocolIpv6, name: joinGroup, value: request, op: `join ${group} on ${name}` });
  }
  stack.move();
  return fd;
}

/** Where routers and DHCPv6 servers are asked (RFC 4861 §4.1, RFC 8415 §7.1). */
export const allRouters = parseIpv6("ff02::2") as Ipv6;
export const allDhcpServers = parseIpv6("ff02::1:2") as Ipv6;

const solSocket = 1;
const protocolIpv6 = 41;
const ipv6Only = 26;
const joinGroup = 20;
