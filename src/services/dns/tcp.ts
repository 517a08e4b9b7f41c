import { createServer, type Socket } from "node:net";
import type { Log } from "../../base/log.ts";
import { isIpv4 } from "../../base/ip.ts";
import { bound, type Place, placeText, type Receive } from "./bind.ts";
import { frame, FrameReader } from "./frames.ts";

export type TcpLimits = {
  connections: number;
  connectionsPerClient: number;
  /** How long a connection may take to bring a query, the first or the next. */
  idleMs: number;
};

const maxQueryBytes = 4096;
const maxPipelined = 64;
const maxUnreadBytes = 256 * 1024;

/** Connections of all listeners together: what the limits count. */
export class TcpConnections {
  readonly #limits: TcpLimits;
  readonly #perClient = new Map<string, number>();
  #total = 0;

  constructor(limits: TcpLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  get idleMs(): number {
    return this.#limits.idleMs;
  }

  /** False when there are enough already; otherwise `leave` must follow. */
  enter(client: string): boolean {
    const own = this.#perClient.get(client) ?? 0;
    if (this.#total >= this.#limits.connections || own >= this.#limits.connectionsPerClient) return false;
    this.#perClient.set(client, own + 1);
    this.#total++;
    return true;
  }

  leave(client: string): void {
    this.#total--;
    const left = (this.#perClient.get(client) ?? 1) - 1;
    if (left > 0) this.#perClient.set(client, left);
    else this.#perClient.delete(client);
  }
}

export type TcpOptions = { receive: Receive; connections: TcpConnections; log: Log };

/** DNS over TCP on one address (RFC 7766): queries may be pipelined, replies come as they are ready. @throws NexusError */
export async function listenTcp(place: Place, { receive, connections, log }: TcpOptions): Promise<Disposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const client = socket.remoteAddress;
    if (client === undefined || !connections.enter(client)) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      connections.leave(client);
    });
    serve(socket, { receive, client, idleMs: connections.idleMs });
  });
  await bound(place, "tcp", (done, failed) => {
    server.once("error", failed);
    server.listen({ host: place.address, port: place.port, exclusive: true, ipv6Only: !isIpv4(place.address), backlog: 128 }, () => {
      server.off("error", failed);
      done();
    });
  });
  server.on("error", (error) => log.warn({ place: placeText(place), error: error.message }, "the DNS listener failed"));
  return {
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** One connection: only a query that earns a reply buys more time, so neither silence nor a trickle of bytes keeps it open. */
function serve(socket: Socket, { receive, client, idleMs }: { receive: Receive; client: string; idleMs: number }): void {
  const reader = new FrameReader(maxQueryBytes);
  const patience = setTimeout(() => socket.destroy(), idleMs);
  let owed = 0;
  let ended = false;
  const settle = () => {
    if (socket.destroyed) return;
    if (ended && owed === 0) socket.end();
    if (owed >= maxPipelined || socket.writableLength > maxUnreadBytes) socket.pause();
    else if (socket.isPaused()) socket.resume();
  };
  socket.on("error", () => socket.destroy());
  socket.on("close", () => clearTimeout(patience));
  socket.on("drain", settle);
  socket.on("end", () => {
    ended = true;
    settle();
  });
  socket.on("data", (chunk: Buffer) => {
    let requests: Buffer[];
    try {
      requests = reader.push(chunk);
    } catch {
      socket.destroy();
      return;
    }
    for (const request of requests) {
      owed++;
      receive(request, { client, transport: "tcp" }, (bytes) => {
        owed--;
        if (!socket.writable) return;
        patience.refresh();
        socket.write(frame(bytes));
        settle();
      });
    }
    settle();
  });
}
