import { closeSync, constants, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { NexusError } from "../base/errors.ts";

/**
 * Connects to a unix socket in a guest's directory. The way goes through /proc, for a socket address holds 107 bytes and
 * directories may be longer. QEMU serves one client at a time and keeps few waiting: while its queue is full we try again.
 * @throws NexusError `timeout`, `wrong-state` when nobody listens
 */
export async function connectIn(directory: string, name: string, limit: { signal: AbortSignal }): Promise<Socket> {
  const fd = openDirectory(directory, name);
  try {
    for (;;) {
      try {
        return await tryConnect(`/proc/self/fd/${fd}/${name}`, limit.signal);
      } catch (error) {
        if (limit.signal.aborted) throw limit.signal.reason;
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw nobody(name, error);
        await delay(10, undefined, { signal: limit.signal });
      }
    }
  } finally {
    closeSync(fd);
  }
}

function openDirectory(directory: string, name: string): number {
  try {
    return openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw nobody(name, error);
  }
}

function tryConnect(path: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const fail = (error: Error): void => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      reject(error);
    };
    const abort = (): void => fail(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", fail);
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.off("error", fail);
      // From here on an end of the connection is a "close"; what the last words were matters to nobody.
      socket.on("error", () => undefined);
      resolve(socket);
    });
  });
}

function nobody(name: string, cause: unknown): NexusError {
  return new NexusError("wrong-state", `nothing answers on the guest's ${name}: it does not run`, { cause });
}
