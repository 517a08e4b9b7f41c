import { WireError } from "../base/errors.ts";
import { errnoName, kernelRefusal } from "./errno.ts";
import { Fd, fdNumber } from "./fd.ts";
import { addressOf, checked, lastErrno, libc } from "./libc.ts";
import { bindSocket, family, messageFlag, openSocket, readSocketOption, socketOption, socketType } from "./socket.ts";

/** Who is at the other end, as of connect(2) or listen(2); ids as seen from our namespaces (struct ucred). */
export type PeerCredentials = { pid: number; uid: number; gid: number };

/** SO_PEERCRED of a connected unix socket. @throws KernelError */
export function peerCredentials(fd: Fd | number): PeerCredentials {
  const bytes = readSocketOption(fd, socketOption.peerCredentials, 12);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}

/** A listening socket at a path, which must be free, or at an abstract name ("@name"). @throws KernelError */
export function listenUnix(path: string, options: { backlog?: number } = {}): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(family.unix, socketType.stream, { nonBlocking: true }));
  bindSocket(fd, unixAddress(path), `bind ${path}`);
  checked(`listen on ${path}`, libc().listen(fd.number, options.backlog ?? 128));
  stack.move();
  return fd;
}

/** The next connection, or undefined when none waits. @throws KernelError */
export function acceptUnix(listener: Fd | number): Fd | undefined {
  const number = libc().accept4(fdNumber(listener), null, null, sockCloseOnExec | sockNonBlocking);
  if (number >= 0) return new Fd(number);
  const errno = lastErrno();
  if (errnoName(errno) === "EAGAIN" || errnoName(errno) === "ECONNABORTED") return undefined;
  throw kernelRefusal("accept a connection", errno);
}

/** A connected socket, or undefined when nobody listens there or the queue is full. @throws KernelError */
export function connectUnix(path: string): Fd | undefined {
  using stack = new DisposableStack();
  const fd = stack.use(openSocket(family.unix, socketType.stream, { nonBlocking: true }));
  const address = unixAddress(path);
  if (libc().connect(fd.number, address, address.length) !== 0) {
    const errno = lastErrno();
    if (["ECONNREFUSED", "ENOENT", "EAGAIN"].includes(errnoName(errno))) return undefined;
    throw kernelRefusal(`connect to ${path}`, errno);
  }
  stack.move();
  return fd;
}

/** Sends one datagram to a unix socket, without waiting for room. @throws KernelError */
export function sendUnixDatagram(path: string, bytes: Uint8Array): void {
  using fd = openSocket(family.unix, socketType.datagram);
  const address = unixAddress(path);
  checked(
    `send to ${path}`,
    libc().sendto(fd.number, bytes, bytes.length, messageFlag.noSignal | messageFlag.dontWait, address, address.length),
  );
}

/**
 * Reads up to `size` bytes and the descriptors sent with them (SCM_RIGHTS, unix(7)), close-on-exec and owned by the caller.
 * Undefined when nothing is there yet; no bytes and no descriptors mean the end. @throws KernelError, WireError when some were cut off
 */
export function receiveDescriptors(fd: Fd | number, size = 4096): { bytes: Uint8Array; descriptors: Fd[] } | undefined {
  // Header, vector, control and data lie in one block, so the pointers in it live as long as the call.
  const block = new Uint8Array(dataAt + size);
  const base = addressOf(block);
  const header = new DataView(block.buffer);
  header.setBigUint64(16, base + BigInt(vectorAt), true);
  header.setBigUint64(24, 1n, true);
  header.setBigUint64(32, base + BigInt(controlAt), true);
  header.setBigUint64(40, BigInt(controlBytes), true);
  header.setBigUint64(vectorAt, base + BigInt(dataAt), true);
  header.setBigUint64(vectorAt + 8, BigInt(size), true);
  const length = Number(libc().recvmsg(fdNumber(fd), block, messageFlag.closeOnExec));
  if (length < 0) {
    const errno = lastErrno();
    if (errnoName(errno) === "EAGAIN") return undefined;
    throw kernelRefusal("receive file descriptors", errno);
  }
  const descriptors = rightsOf(block.subarray(controlAt, controlAt + Number(header.getBigUint64(40, true))));
  if ((header.getInt32(48, true) & messageControlTruncated) !== 0) {
    for (const descriptor of descriptors) descriptor[Symbol.dispose]();
    throw new WireError("SCM_RIGHTS", "more descriptors were sent than were made room for");
  }
  return { bytes: block.slice(dataAt, dataAt + length), descriptors };
}

/**
 * Sends bytes and copies of descriptors along (SCM_RIGHTS), without waiting for room; gives how many bytes were taken, and the
 * descriptors went with the first. @throws KernelError
 */
export function sendDescriptors(fd: Fd | number, bytes: Uint8Array, descriptors: readonly number[]): number {
  const rightsBytes = 16 + 4 * descriptors.length;
  const bytesAt = controlAt + ((rightsBytes + 7) & ~7);
  const block = new Uint8Array(bytesAt + bytes.length);
  const base = addressOf(block);
  const header = new DataView(block.buffer);
  header.setBigUint64(16, base + BigInt(vectorAt), true);
  header.setBigUint64(24, 1n, true);
  header.setBigUint64(32, base + BigInt(controlAt), true);
  header.setBigUint64(40, BigInt(rightsBytes), true);
  header.setBigUint64(vectorAt, base + BigInt(bytesAt), true);
  header.setBigUint64(vectorAt + 8, BigInt(bytes.length), true);
  header.setBigUint64(controlAt, BigInt(rightsBytes), true);
  header.setInt32(controlAt + 8, solSocket, true);
  header.setInt32(controlAt + 12, scmRights, true);
  descriptors.forEach((descriptor, i) => header.setInt32(controlAt + 16 + 4 * i, descriptor, true));
  block.set(bytes, bytesAt);
  const flags = messageFlag.noSignal | messageFlag.dontWait;
  return checked("send file descriptors", libc().sendmsg(fdNumber(fd), block, flags));
}

/** struct sockaddr_un: a path, or an abstract name behind "@" (which has no NUL at its end and belongs to a network namespace). */
export function unixAddress(path: string): Uint8Array {
  const abstract = path.startsWith("@");
  const name = new TextEncoder().encode(abstract ? path.slice(1) : path);
  if (name.length > 107)
    throw kernelRefusal(`use ${path} as a socket address`, enametoolong, { hint: "a unix socket path has at most 107 bytes" });
  const address = new Uint8Array(2 + name.length + 1);
  address[0] = family.unix;
  address.set(name, abstract ? 3 : 2);
  return address;
}

/** struct cmsghdr: length of 8 bytes, level, type, then the data, padded to 8. */
function rightsOf(control: Uint8Array): Fd[] {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const found: Fd[] = [];
  for (let at = 0; at + 16 <= control.length;) {
    const length = Number(view.getBigUint64(at, true));
    if (length < 16 || at + length > control.length) break;
    const isRights = view.getInt32(at + 8, true) === solSocket && view.getInt32(at + 12, true) === scmRights;
    if (isRights) for (let i = at + 16; i + 4 <= at + length; i += 4) found.push(new Fd(view.getInt32(i, true)));
    at += (length + 7) & ~7;
  }
  return found;
}

const solSocket = 1;
const scmRights = 1;
const messageControlTruncated = 8;
const sockCloseOnExec = 0o2000000;
const sockNonBlocking = 0o4000;
const enametoolong = 36;
/** Room for 64 descriptors. */
const controlBytes = 16 + 64 * 4;
/** struct msghdr has 56 bytes on 64-bit machines, struct iovec 16. */
const vectorAt = 56;
const controlAt = vectorAt + 16;
const dataAt = controlAt + controlBytes;
