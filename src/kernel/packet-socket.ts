import { NexusError } from "../base/errors.ts";
import { ipFromBytes, ipToBytes } from "../base/ip.ts";
import { type Ipv6, parseIpv6 } from "../base/ipv6.ts";
import { linkLocalOf, type Mac, macFromBytes, macToBytes } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import { errnoName, kernelRefusal } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { addressOf, checked, lastErrno, libc } from "../sys/libc.ts";
import { Watch } from "../sys/poll.ts";
import {
  bindSocket,
  family,
  messageFlag,
  openSocket,
  setOption,
  socketAddress,
  socketOption,
  socketType,
  trySocketOption,
} from "../sys/socket.ts";
import { queueFill } from "./datagram.ts";
import { packetFilter, type PacketWish } from "./packet-filter.ts";

export type PacketSocketOptions = {
  interface: IfName;
  wish: PacketWish;
  /** Room for waiting packets as the kernel counts them; past net.core.rmem_max only with CAP_NET_ADMIN. */
  receiveBytes: number;
};

/** `packet` begins with its IP header and lies in the socket's own memory until the next read. */
export type ReceivedPacket = { packet: Uint8Array; from: Mac };

/**
 * IP packets as one interface sees them, with the MAC they came from, whatever a firewall on the way to UDP sockets says;
 * and packets of our own making to any MAC, also of hosts that have no address yet (packet(7), SOCK_DGRAM).
 */
export class PacketSocket implements Disposable {
  /** Of the interface when it was opened: another number under the same name means this socket hears nothing any more. */
  readonly interfaceIndex: number;
  readonly mac: Mac;
  readonly #fd: Fd;
  readonly #wish: PacketWish;
  readonly #into = Buffer.alloc(maxPacketBytes);
  readonly #sender = Buffer.alloc(addressBytes);
  readonly #senderLength = Buffer.alloc(4);
  readonly #target = Buffer.alloc(addressBytes);

  /** @throws KernelError, ENODEV when there is no such interface; NexusError `unsupported` when it is not Ethernet */
  constructor(options: PacketSocketOptions) {
    using stack = new DisposableStack();
    // Protocol 0 receives nothing, so no packet slips in before the filter is there.
    const fd = stack.use(openSocket(family.packet, socketType.datagram, { nonBlocking: true }));
    this.#fd = fd;
    this.#wish = options.wish;
    const asked = askInterface(fd, options.interface);
    this.interfaceIndex = asked.index;
    this.mac = asked.mac;
    const forced = trySocketOption(fd, socketOption.receiveBufferForce, options.receiveBytes);
    if (!forced) trySocketOption(fd, socketOption.receiveBuffer, options.receiveBytes);
    this.refuse([]);
    const etherType = options.wish.protocol === "ipv4" ? 0x0800 : 0x86dd;
    this.#target.writeUInt16LE(family.packet, 0);
    this.#target.writeUInt16BE(etherType, 2);
    this.#target.writeInt32LE(asked.index, 4);
    bindSocket(fd, this.#target, `listen to packets on ${options.interface}`);
    this.#target.writeUInt8(6, 11);
    stack.move();
  }

  /** Calls `ready` whenever packets wait. Dispose it before the socket. @throws KernelError */
  watch(ready: () => void): Disposable {
    return new Watch(this.#fd, ready);
  }

  /** The next packet; undefined when none waits; "down" once when the interface went down or away. @throws KernelError */
  receive(): ReceivedPacket | "down" | undefined {
    this.#senderLength.writeUInt32LE(addressBytes);
    const length = Number(libc().recvfrom(this.#fd.number, this.#into, maxPacketBytes, 0, this.#sender, this.#senderLength));
    if (length >= 0) return { packet: this.#into.subarray(0, length), from: macFromBytes(this.#sender.subarray(12, 18)) };
    const errno = lastErrno();
    if (errnoName(errno) === "EAGAIN") return undefined;
    if (errnoName(errno) === "ENETDOWN") return "down";
    throw kernelRefusal("receive a packet", errno);
  }

  /** Hands a packet to the interface; false when it was not taken: it is down, gone, or has no room. */
  send(to: Mac, packet: Uint8Array): boolean {
    this.#target.set(macToBytes(to), 12);
    const sent = libc().sendto(this.#fd.number, packet, packet.length, messageFlag.noSignal, this.#target, addressBytes);
    return Number(sent) === packet.length;
  }

  /** The address the kernel itself would send to neighbours from; the one the MAC gives while it has none. @throws KernelError */
  linkLocalAddress(): Ipv6 {
    using fd = openSocket(family.inet6, socketType.datagram);
    const everybody = Buffer.alloc(28);
    everybody.writeUInt16LE(family.inet6, 0);
    everybody.writeUInt16BE(anyPort, 2);
    everybody.set(ipToBytes(allNodes), 8);
    everybody.writeUInt32LE(this.interfaceIndex, 24);
    // Connecting a datagram socket sends nothing and chooses the source.
    if (libc().connect(fd.number, everybody, everybody.length) !== 0) return linkLocalOf(this.mac);
    const chosen = ipFromBytes(socketAddress(fd).subarray(8, 24)) as Ipv6;
    return chosen.startsWith("fe80:") ? chosen : linkLocalOf(this.mac);
  }

  /** How full the receive queue is, 0-1: one means the kernel is dropping packets (SO_MEMINFO, sock_diag(7)). @throws KernelError */
  queueFill(): number {
    return queueFill(this.#fd.number);
  }

  /** From now on the kernel drops packets from these MACs before they take room in the queue. @throws KernelError */
  refuse(macs: readonly Mac[]): void {
    attachFilter(this.#fd, packetFilter(this.#wish, macs));
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Lets a classic BPF program decide what reaches a socket. @throws KernelError */
export function attachFilter(fd: Fd, program: Uint8Array): void {
  const header = Buffer.alloc(16);
  header.writeUInt16LE(program.length / 8, 0);
  header.writeBigUInt64LE(addressOf(program), 8);
  setOption(fd, { level: solSocket, name: attachFilterOption, value: header, op: "filter a socket" });
}

/** The kernel's number of an interface in the caller's network namespace, or undefined when there is none. */
export function interfaceNumber(name: IfName): number | undefined {
  using fd = openSocket(family.packet, socketType.datagram);
  const request = interfaceRequest(name);
  return libc().ioctl(fd.number, getInterfaceIndex, request) === 0 ? request.readInt32LE(16) : undefined;
}

function askInterface(fd: Fd, name: IfName): { index: number; mac: Mac } {
  const byIndex = interfaceRequest(name);
  checked(`find interface ${name}`, libc().ioctl(fd.number, getInterfaceIndex, byIndex));
  const byAddress = interfaceRequest(name);
  checked(`read the MAC of ${name}`, libc().ioctl(fd.number, getHardwareAddress, byAddress));
  if (byAddress.readUInt16LE(16) !== hardwareEthernet) throw new NexusError("unsupported", `${name} is no Ethernet interface`);
  return { index: byIndex.readInt32LE(16), mac: macFromBytes(byAddress.subarray(18, 24)) };
}

/** struct ifreq: the name, then a union (netdevice(7)). */
function interfaceRequest(name: IfName): Buffer {
  const request = Buffer.alloc(40);
  request.write(name, "latin1");
  return request;
}

const solSocket = 1;
const attachFilterOption = 26;
const getInterfaceIndex = 0x8933;
const getHardwareAddress = 0x8927;
const hardwareEthernet = 1;
/** struct sockaddr_ll. */
const addressBytes = 20;
const maxPacketBytes = 65536;
const allNodes = parseIpv6("ff02::1") as Ipv6;
/** Discard (RFC 863): some port must be named. */
const anyPort = 9;
