import { createServer, type Socket } from "node:net";
import type { Fd } from "../kernel/console-socket.ts";
import { createLoopbackNamespace, listenOnLoopback } from "../kernel/loopback.ts";
import type { SandboxEgress } from "./sandbox.ts";

/** The network of one sandbox. It ends when it is disposed and the last process in it has gone. */
export type SandboxNetwork = Disposable & {
  /** By which a process started by this one enters it. */
  path: string;
  fd: number;
};

/**
 * A network namespace with nothing but its own loopback, up; and for a proxy one address on it, whose connections come straight
 * into this process: a listener stays in the namespace it was opened in. No relay, and no way out that nobody serves.
 * @throws KernelError
 */
export function openSandboxNetwork(egress: Exclude<SandboxEgress, { kind: "host" }>): SandboxNetwork {
  using stack = new DisposableStack();
  const namespace = stack.use(createLoopbackNamespace());
  if (egress.kind === "proxy") {
    stack.use(serveListener(listenOnLoopback(namespace, egress.port), egress.serve));
  }
  const kept = stack.move();
  return {
    path: `/proc/${process.pid}/fd/${namespace.number}`,
    fd: namespace.number,
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** Serves a listener until disposed, and takes it over. Its connections end then: nobody is left to answer. */
export function serveListener(listener: Fd, serve: (connection: Socket) => void): Disposable {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    // A client that goes away is the proxy's to notice; here it must not be an uncaught error.
    socket.on("error", () => undefined);
    serve(socket);
  });
  server.on("error", () => undefined);
  server.listen({ fd: listener.release() });
  return {
    [Symbol.dispose]() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
