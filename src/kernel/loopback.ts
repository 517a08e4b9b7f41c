import type { Fd } from "../sys/fd.ts";
import { checked, libc } from "../sys/libc.ts";
import { inNetns, inNewNetns, ownNetns } from "../sys/netns.ts";
import { bindSocket, family, openSocket, setOption, socketOption, socketType } from "../sys/socket.ts";
import { changeLink } from "./links.ts";
import { NetlinkSocket } from "./netlink-socket.ts";

/** A new network namespace with loopback up and nothing else, held by the descriptor alone. @throws KernelError */
export function createLoopbackNamespace(): Fd {
  using stack = new DisposableStack();
  const namespace = stack.use(inNewNetns(ownNetns));
  raiseLoopback(namespace);
  stack.move();
  return namespace;
}

/** Brings the loopback of a network namespace up. @throws KernelError */
export function raiseLoopback(namespace: Fd): void {
  using route = NetlinkSocket.open("route", { netns: namespace });
  changeLink(route, { index: 1, name: "lo" }, { up: true });
}

/** A TCP socket that listens on 127.0.0.1 of another network namespace. @throws KernelError */
export function listenOnLoopback(namespace: Fd, port: number): Fd {
  using stack = new DisposableStack();
  const socket = stack.use(inNetns(namespace, () => openSocket(family.inet, socketType.stream, { nonBlocking: true })));
  setOption(socket, { level: 1, name: socketOption.reuseAddress, value: 1, op: "reuse an address" });
  // struct sockaddr_in (linux/in.h).
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  new Uint16Array(address.buffer, 0, 1)[0] = family.inet;
  view.setUint16(2, port);
  address.set([127, 0, 0, 1], 4);
  bindSocket(socket, address, `bind 127.0.0.1:${port}`);
  checked(`listen on 127.0.0.1:${port}`, libc().listen(socket.number, 511));
  stack.move();
  return socket;
}
