import { type Ip, ipFamily, ipToBytes } from "../base/ip.ts";
import type { Transport } from "../base/port.ts";
import { isErrno } from "../sys/errno.ts";
import { bindSocket, family, openSocket, socketOption, socketType, trySocketOption } from "../sys/socket.ts";

/** `not-permitted`: the port is below what users may listen on (ip(7), ip_unprivileged_port_start). */
export type PortFound = "free" | "taken" | "no-such-address" | "not-permitted";

/** Whether a program could listen there now. `address` absent means every address of both families. @throws KernelError */
export function testPort(transport: Transport, port: number, address: Ip | undefined): PortFound {
  const addresses = address === undefined ? (["0.0.0.0", "::"] as Ip[]) : [address];
  for (const one of addresses) {
    const found = testOne(transport, port, one);
    if (found !== "free") return found;
  }
  return "free";
}

function testOne(transport: Transport, port: number, address: Ip): PortFound {
  try {
    const v6 = ipFamily(address) === 6;
    using socket = openSocket(v6 ? family.inet6 : family.inet, transport === "tcp" ? socketType.stream : socketType.datagram);
    // Connections that ended a moment ago hold no port; a listener still does.
    if (transport === "tcp") trySocketOption(socket, socketOption.reuseAddress, 1);
    bindSocket(socket, socketAddressOf(address, port), `test ${transport} port ${port}`);
    return "free";
  } catch (error) {
    if (isErrno(error, "EADDRINUSE")) return "taken";
    if (isErrno(error, "EADDRNOTAVAIL")) return "no-such-address";
    if (isErrno(error, "EACCES")) return "not-permitted";
    // A host without IPv6 has nothing that listens there.
    if (isErrno(error, "EAFNOSUPPORT")) return "free";
    throw error;
  }
}

/** sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)). */
function socketAddressOf(address: Ip, port: number): Uint8Array {
  const bytes = ipToBytes(address);
  const out = new Uint8Array(bytes.length === 4 ? 16 : 28);
  const view = new DataView(out.buffer);
  view.setUint16(0, bytes.length === 4 ? family.inet : family.inet6, true);
  view.setUint16(2, port);
  out.set(bytes, bytes.length === 4 ? 4 : 8);
  return out;
}
