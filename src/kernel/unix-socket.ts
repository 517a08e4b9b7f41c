import { randomUUID } from "node:crypto";
import { constants, unlinkSync } from "node:fs";
import type { Socket } from "node:net";
import { NexusError } from "../base/errors.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openFile } from "../sys/fd.ts";
import { inNetns } from "../sys/netns.ts";
import { pathOnly } from "../sys/openat2.ts";
import { connectUnix, listenUnix, type PeerCredentials, peerCredentials, sendDescriptors } from "../sys/unix-socket.ts";

export type { PeerCredentials } from "../sys/unix-socket.ts";

/** Who connected to our unix socket, as the kernel saw it at connect time. @throws KernelError; NexusError when it is no open unix socket */
export function callerOf(socket: Socket): PeerCredentials {
  return peerCredentials(descriptorOf(socket));
}

/** Sends a short message with copies of descriptors. Nothing else may wait to be written. @throws KernelError; NexusError when it is no open unix socket */
export function sendWithDescriptors(socket: Socket, bytes: Uint8Array, descriptors: readonly number[]): void {
  const sent = sendDescriptors(descriptorOf(socket), bytes, descriptors);
  if (sent !== bytes.length) throw new NexusError("internal", `a socket took ${sent} bytes of ${bytes.length}`);
}

/**
 * A socket to accept on, and the one connection that waits there: for a program that takes nothing but a listening socket. In the directory,
 * which nobody else may enter, nothing of it stays. @throws KernelError
 */
export function openWaitingConnection(directory: string): { listener: Fd; client: Fd } {
  using stack = new DisposableStack();
  // By the descriptor, for an address holds 107 bytes and directories may be longer.
  const place = stack.use(openFile(directory, pathOnly | constants.O_DIRECTORY));
  const path = `/proc/self/fd/${place.number}/${randomUUID()}`;
  const listener = stack.use(listenUnix(path, { backlog: 1 }));
  const client = connectUnix(path);
  unlinkSync(path);
  if (client === undefined) throw new NexusError("internal", "a socket that was just made takes no connection");
  stack.move();
  place[Symbol.dispose]();
  return { listener, client };
}

/**
 * A listening socket at a free name in a directory, however long its path: an address holds 107 bytes. Its programs remove a socket by
 * the address they read from it as they end (QEMU does), and this one means nothing to them. @throws KernelError
 */
export function listenIn(directory: string, name: string): Fd {
  using held = openFile(directory, constants.O_DIRECTORY);
  return listenUnix(`/proc/self/task/${process.pid}/fd/${held.number}/${name}`, { backlog: 1 });
}

function descriptorOf(socket: Socket): number {
  // node:net has no public way to a socket's descriptor; `_handle.fd` has been there since 0.x.
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd: unknown = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || fd < 0) throw new NexusError("internal", "the socket has no file descriptor");
  return fd;
}

/** A name only one process may hold, in a network namespace, until it disposes it or ends: nothing is left behind by a crash. */
export type AbstractLock = { kind: "held"; lock: Disposable } | { kind: "taken"; holder: PeerCredentials | undefined };

/**
 * Takes an abstract unix socket's name as a lock, in the caller's network namespace or in `netns`.
 * When another has it, `holder` says who, unless it went meanwhile. @throws KernelError
 */
export function takeAbstractLock(name: string, options: { netns?: Fd | number } = {}): AbstractLock {
  const take = (): AbstractLock => {
    try {
      // Probes that ask who holds it stay in the queue until we end, so it is long.
      return { kind: "held", lock: listenUnix(`@${name}`, { backlog: 4096 }) };
    } catch (error) {
      if (!isErrno(error, "EADDRINUSE")) throw error;
    }
    using probe = connectUnix(`@${name}`);
    return { kind: "taken", holder: probe === undefined ? undefined : peerCredentials(probe) };
  };
  return options.netns === undefined ? take() : inNetns<AbstractLock>(options.netns, take);
}
