import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIpv4 } from "../../base/ip.ts";
import { type Carrier, type Destination, loopback6 } from "./destination.ts";

export type UdpAllowance = {
  /** Clients of one port; the one silent longest makes room. */
  clients: number;
  /** A client is forgotten after this long without a datagram either way. */
  idleMs: number;
};

type Session = { toGuest: Socket; idle: NodeJS.Timeout };

/** Datagrams to [::1]:port. Each client has a socket of its own towards the guest, by which answers find back. */
export function carryUdp(port: number, to: Destination, allowance: UdpAllowance): Carrier {
  const sessions = new Map<string, Session>();
  const socket = createSocket({ type: "udp6", ipv6Only: true, lookup: asIs });
  let open = true;
  const forget = (key: string): void => {
    const session = sessions.get(key);
    if (session === undefined) return;
    sessions.delete(key);
    clearTimeout(session.idle);
    session.toGuest.close();
  };
  const sessionOf = (from: RemoteInfo): Session => {
    const key = String(from.port);
    const known = sessions.get(key);
    if (known !== undefined) {
      // Last used last: the first of the map is the one silent longest.
      sessions.delete(key);
      sessions.set(key, known);
      return known;
    }
    for (const oldest of sessions.keys()) {
      if (sessions.size < allowance.clients) break;
      forget(oldest);
    }
    const toGuest = createSocket({ type: isIpv4(to.address) ? "udp4" : "udp6", lookup: asIs });
    const session: Session = { toGuest, idle: setTimeout(() => forget(key), allowance.idleMs) };
    toGuest.on("message", (message, answerer) => {
      if (answerer.address !== to.address || answerer.port !== to.port || !open) return;
      session.idle.refresh();
      socket.send(message, from.port, from.address);
    });
    toGuest.on("error", () => forget(key));
    sessions.set(key, session);
    return session;
  };
  socket.on("message", (message, from) => {
    const session = sessionOf(from);
    session.idle.refresh();
    session.toGuest.send(message, to.port, to.address);
  });
  const opened = Promise.withResolvers<void>();
  socket.on("error", opened.reject);
  socket.bind({ address: loopback6, port, exclusive: true }, opened.resolve);
  return {
    opened: opened.promise,
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      opened.resolve();
      socket.close();
      for (const key of sessions.keys()) forget(key);
    },
  };
}

/** Both ends are addresses; the default look-up would cost each datagram a turn of the event loop. */
function asIs(host: string, _options: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, host, host.includes(":") ? 6 : 4);
}
