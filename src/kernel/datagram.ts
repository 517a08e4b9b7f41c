import { type Ip, ipFamily, ipToBytes } from "../base/ip.ts";
import type { Port } from "../base/port.ts";
import type { Fd } from "../sys/fd.ts";
import { addressOf } from "../sys/libc.ts";
import { bindSocket, family, openSocket, readSocketOption, setOption, socketOption, socketType, trySocketOption } from "../sys/socket.ts";
import { sourceFilter } from "./datagram-filter.ts";

export type DatagramPlace = { address: Ip; port: Port };

/**
 * A UDP socket on one address that nobody can share, with room for `receiveBytes` of waiting packets as the kernel counts
 * them; past net.core.rmem_max only with CAP_NET_ADMIN. @throws KernelError
 */
export function openDatagram(place: DatagramPlace, receiveBytes: number): Fd {
  const v6 = ipFamily(place.address) === 6;
  const socket = openSocket(v6 ? family.inet6 : family.inet, socketType.datagram, { nonBlocking: true });
  try {
    const forced = trySocketOption(socket, socketOption.receiveBufferForce, receiveBytes);
    if (!forced) trySocketOption(socket, socketOption.receiveBuffer, receiveBytes);
    if (v6) setOption(socket, { level: protocolIpv6, name: ipv6Only, value: 1, op: "keep a socket to IPv6" });
    bindSocket(socket, socketAddress(place), `bind UDP ${place.address} port ${place.port}`);
    return socket;
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

/** How full the receive queue is, 0-1: one means the kernel is dropping packets (SO_MEMINFO, sock_diag(7)). @throws KernelError */
export function queueFill(fd: number): number {
  const info = readSocketOption(fd, socketMemory, 36);
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  return view.getUint32(0, true) / Math.max(1, view.getUint32(4, true));
}

/** From now on the kernel drops packets from these sources before they take room in the queue. @throws KernelError */
export function refuseSources(fd: number, { address }: { address: Ip }, sources: readonly Ip[]): void {
  const program = sourceFilter(ipFamily(address), sources);
  const header = Buffer.alloc(16);
  header.writeUInt16LE(program.length / 8, 0);
  header.writeBigUInt64LE(addressOf(program), 8);
  setOption(fd, { level: solSocket, name: attachFilter, value: header, op: "filter a socket by source" });
}

const solSocket = 1;
const attachFilter = 26;
const socketMemory = 55;
const protocolIpv6 = 41;
const ipv6Only = 26;

/** sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)). */
function socketAddress({ address, port }: DatagramPlace): Uint8Array {
  const bytes = ipToBytes(address);
  const out = Buffer.alloc(bytes.length === 4 ? 16 : 28);
  out.writeUInt16LE(bytes.length === 4 ? family.inet : family.inet6, 0);
  out.writeUInt16BE(port, 2);
  out.set(bytes, bytes.length === 4 ? 4 : 8);
  return out;
}
