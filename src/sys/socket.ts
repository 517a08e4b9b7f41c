import { checked, lastErrno, libc } from "./libc.ts";
import { Fd, fdNumber } from "./fd.ts";
import { kernelRefusal } from "./errno.ts";

/** Address families and socket types (include/linux/socket.h). */
export const family = { unix: 1, inet: 2, inet6: 10, netlink: 16, packet: 17 } as const;
export const socketType = { stream: 1, datagram: 2, raw: 3, seqpacket: 5 } as const;

/** SOL_SOCKET options (asm-generic/socket.h). */
export const socketOption = {
  reuseAddress: 2,
  error: 4,
  broadcast: 6,
  sendBuffer: 7,
  receiveBuffer: 8,
  peerCredentials: 17,
  receiveTimeout: 20,
  sendTimeout: 21,
  bindToDevice: 25,
  sendBufferForce: 32,
  receiveBufferForce: 33,
} as const;

export const messageFlag = { dontWait: 0x40, truncated: 0x20, noSignal: 0x4000, closeOnExec: 0x40000000 } as const;

const solSocket = 1;
const sockCloseOnExec = 0o2000000;
const sockNonBlocking = 0o4000;

/** A new socket, close-on-exec. @throws KernelError */
export function openSocket(domain: number, type: number, extra: { protocol?: number; nonBlocking?: boolean } = {}): Fd {
  const flags = type | sockCloseOnExec | (extra.nonBlocking === true ? sockNonBlocking : 0);
  return new Fd(checked("open a socket", libc().socket(domain, flags, extra.protocol ?? 0)));
}

/** @throws KernelError naming `op` */
export function bindSocket(fd: Fd | number, address: Uint8Array, op: string): void {
  checked(op, libc().bind(fdNumber(fd), address, address.length));
}

/** The address a socket is bound to, as the kernel's bytes. */
export function socketAddress(fd: Fd | number): Uint8Array {
  const address = new Uint8Array(128);
  const length = Uint32Array.of(address.length);
  checked("read a socket's address", libc().getsockname(fdNumber(fd), address, bytesOf(length)));
  return address.subarray(0, length[0]);
}

/** Sends one datagram whole. @throws KernelError naming `op` */
export function sendDatagram(fd: Fd | number, bytes: Uint8Array, op: string): void {
  checked(op, libc().sendto(fdNumber(fd), bytes, bytes.length, messageFlag.noSignal, null, 0));
}

/** Sets an option of SOL_SOCKET; true when the kernel took it. */
export function trySocketOption(fd: Fd | number, name: number, value: number): boolean {
  return libc().setsockopt(fdNumber(fd), solSocket, name, bytesOf(Int32Array.of(value)), 4) === 0;
}

/** @throws KernelError */
export function setOption(fd: Fd | number, option: { level: number; name: number; value: number | Uint8Array; op: string }): void {
  const value = typeof option.value === "number" ? bytesOf(Int32Array.of(option.value)) : option.value;
  checked(option.op, libc().setsockopt(fdNumber(fd), option.level, option.name, value, value.length));
}

/** At most `size` bytes of an option of SOL_SOCKET. @throws KernelError */
export function readSocketOption(fd: Fd | number, name: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  const length = Uint32Array.of(size);
  checked("read a socket option", libc().getsockopt(fdNumber(fd), solSocket, name, value, bytesOf(length)));
  return value.subarray(0, length[0]);
}

/** How long a blocking read waits before EAGAIN; the resolution is a scheduler tick. */
export function setReceiveTimeout(fd: Fd | number, ms: number): void {
  const timeval = BigInt64Array.of(BigInt(Math.floor(ms / 1000)), BigInt(Math.round((ms % 1000) * 1000)));
  setOption(fd, { level: solSocket, name: socketOption.receiveTimeout, value: bytesOf(timeval), op: "set a socket's read deadline" });
}

/** The kernel's answer after a call gave -1, as an error naming `op`. */
export function socketRefusal(op: string): Error {
  return kernelRefusal(op, lastErrno());
}

function bytesOf(array: Int32Array | Uint32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
