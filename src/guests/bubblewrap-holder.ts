import { createLoopbackNamespace, listenOnLoopback } from "../kernel/loopback.ts";
import type { Fd } from "../kernel/console-socket.ts";

/** A child process of HeldNetworks, the root of a user namespace of its own: makes networks, and holds them until told otherwise. */

export type HolderRequest = { id: number; port: number } | { id: number; drop: number[] };
/** Numbers of its own descriptors. */
export type HolderAnswer = { id: number; netns: number; listener: number } | { id: number; problem: string };

hold();

function hold(): void {
  const held = new Map<number, Fd>();
  process.on("message", (message) => {
    const request = message as HolderRequest;
    if ("drop" in request) {
      for (const number of request.drop) held.get(number)?.[Symbol.dispose]();
      for (const number of request.drop) held.delete(number);
    } else process.send?.(answer(request, held));
  });
}

function answer({ id, port }: { id: number; port: number }, held: Map<number, Fd>): HolderAnswer {
  try {
    using stack = new DisposableStack();
    const netns = stack.use(createLoopbackNamespace());
    const listener = stack.use(listenOnLoopback(netns, port));
    stack.move();
    for (const fd of [netns, listener]) held.set(fd.number, fd);
    return { id, netns: netns.number, listener: listener.number };
  } catch (error) {
    return { id, problem: error instanceof Error ? error.message : String(error) };
  }
}
