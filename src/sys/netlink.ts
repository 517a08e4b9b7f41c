import { checkedAsync, lastErrno, libc } from "./libc.ts";
import type { Fd } from "./fd.ts";
import {
  bindSocket,
  family,
  messageFlag,
  openSocket,
  sendDatagram,
  setOption,
  setReceiveTimeout,
  socketAddress,
  socketOption,
  socketType,
  trySocketOption,
} from "./socket.ts";

/** NETLINK_ROUTE and friends (include/uapi/linux/netlink.h). */
export const netlinkProtocol = { route: 0, netfilter: 12 } as const;

const solNetlink = 270;
const netlinkOption = { addMembership: 1, capAck: 10, extendedAck: 11, strictCheck: 12 } as const;
const bufferBytes = 8 << 20;

export type NetlinkEndpoint = { fd: Fd; portId: number };

/**
 * A bound netlink socket with extended acks; reads give up after `deadlineMs`. `groups` are group numbers, not masks.
 * It belongs to the network namespace of the calling thread for good. @throws KernelError
 */
export function openNetlink(
  protocol: keyof typeof netlinkProtocol,
  options: { groups: readonly number[]; deadlineMs: number },
): NetlinkEndpoint {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(family.netlink, socketType.raw, { protocol: netlinkProtocol[protocol] }));
  // The FORCE forms pass the sysctl limits but want CAP_NET_ADMIN in the first user namespace.
  if (!trySocketOption(fd, socketOption.receiveBufferForce, bufferBytes)) trySocketOption(fd, socketOption.receiveBuffer, bufferBytes);
  if (!trySocketOption(fd, socketOption.sendBufferForce, bufferBytes)) trySocketOption(fd, socketOption.sendBuffer, bufferBytes);
  setReceiveTimeout(fd, options.deadlineMs);
  const wanted =
    protocol === "route"
      ? [netlinkOption.extendedAck, netlinkOption.capAck, netlinkOption.strictCheck]
      : [netlinkOption.extendedAck, netlinkOption.capAck];
  for (const name of wanted) setOption(fd, { level: solNetlink, name, value: 1, op: "prepare a netlink socket" });
  bindSocket(fd, kernelAddress(), "bind a netlink socket");
  for (const group of options.groups)
    setOption(fd, { level: solNetlink, name: netlinkOption.addMembership, value: group, op: `join netlink group ${group}` });
  const address = socketAddress(fd);
  const portId = new DataView(address.buffer, address.byteOffset).getUint32(4, true);
  stack.move();
  return { fd, portId };
}

/** Hands the bytes to the kernel, which works through them before this returns. @throws KernelError naming `op` */
export function sendNetlink(fd: Fd, bytes: Uint8Array, op: string): void {
  sendDatagram(fd, bytes, op);
}

/** As sendNetlink, on a thread of the pool: for requests in which the kernel sleeps. */
export async function sendNetlinkAsync(fd: Fd, bytes: Uint8Array, op: string): Promise<void> {
  await checkedAsync(op, (done) => libc().sendto.async(fd.number, bytes, bytes.length, messageFlag.noSignal, null, 0, done));
}

/** What one read gave: a datagram's length in `into` (longer than `into` when cut), or the errno. */
export type NetlinkRead = { length: number; fromKernel: boolean } | { errno: number };

/** Reads one datagram into `into`; with `wait` it blocks until the socket's deadline. */
export class NetlinkReader {
  readonly #sender = new Uint8Array(12);
  readonly #senderView = new DataView(this.#sender.buffer);
  readonly #senderLength = new Uint8Array(4);
  readonly #recvfrom = libc().recvfrom;

  read(fd: Fd, into: Uint8Array, mode: "wait" | "poll"): NetlinkRead {
    this.#senderLength[0] = 12;
    const flags = messageFlag.truncated | (mode === "poll" ? messageFlag.dontWait : 0);
    const length = Number(this.#recvfrom(fd.number, into, into.length, flags, this.#sender, this.#senderLength));
    if (length < 0) return { errno: lastErrno() };
    // Only the kernel has port 0: anything else is a process that talks to our port.
    return { length, fromKernel: this.#senderView.getUint32(4, true) === 0 };
  }
}

/** struct sockaddr_nl with port and groups 0: the kernel, or "choose a port for me". */
function kernelAddress(): Uint8Array {
  const address = new Uint8Array(12);
  address[0] = family.netlink;
  return address;
}
