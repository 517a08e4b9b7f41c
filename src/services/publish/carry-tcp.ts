import { connect, createServer, type Socket } from "node:net";
import { type Carrier, type Destination, loopback6 } from "./destination.ts";

export type TcpAllowance = {
  /** Connections of all ports together. */
  connections: number;
  /** How long a guest may take to accept. */
  connectMs: number;
};

/** Counts connections over all ports, so that one busy port cannot take every descriptor of the daemon. */
export class TcpCount {
  readonly #limit: number;
  readonly connectMs: number;
  #open = 0;

  constructor(allowance: TcpAllowance) {
    this.#limit = allowance.connections;
    this.connectMs = allowance.connectMs;
  }

  /** False when there are enough; otherwise `leave` must follow. */
  enter(): boolean {
    if (this.#open >= this.#limit) return false;
    this.#open++;
    return true;
  }

  leave(): void {
    this.#open--;
  }
}

/** Connections to [::1]:port, each carried to the guest by one of our own. */
export function carryTcp(port: number, to: Destination, count: TcpCount): Carrier {
  const pairs = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true }, (client) => {
    if (!count.enter()) {
      client.resetAndDestroy();
      return;
    }
    pairs.add(client);
    client.once("close", () => {
      pairs.delete(client);
      count.leave();
    });
    join(client, to, count.connectMs);
  });
  const opened = Promise.withResolvers<void>();
  // Errors after the first belong to single connections; the listener stays.
  server.on("error", opened.reject);
  server.listen({ host: loopback6, port, ipv6Only: true, exclusive: true, backlog: 511 }, opened.resolve);
  return {
    opened: opened.promise,
    [Symbol.dispose]() {
      opened.resolve();
      server.close();
      for (const client of pairs) client.resetAndDestroy();
    },
  };
}

/** Each direction ends by itself, as it would on a direct connection; a reset on one side is a reset on the other. */
function join(client: Socket, to: Destination, connectMs: number): void {
  const guest = connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true, keepAlive: true });
  const patience = setTimeout(() => guest.destroy(new Error("the guest does not accept")), connectMs);
  guest.once("connect", () => {
    clearTimeout(patience);
    client.pipe(guest);
    guest.pipe(client);
  });
  for (const [one, other] of [
    [client, guest],
    [guest, client],
  ] as const) {
    one.on("error", () => {});
    one.once("close", (failed) => {
      clearTimeout(patience);
      if (failed || !other.writableEnded) other.resetAndDestroy();
    });
  }
}
