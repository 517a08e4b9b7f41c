import { connect as connectSocket, type Socket } from "node:net";
import { type Ip, ipFamily } from "../../base/ip.ts";
import type { Port } from "../../base/port.ts";

/** Begins a connection; it must be to this very address, and allow half-open. */
export type Dial = (to: { address: Ip; port: Port }) => Socket;

/** Dials from where this process is. */
export const dialDirect: Dial = ({ address, port }) =>
  connectSocket({ host: address, port, allowHalfOpen: true, noDelay: true, keepAlive: true });

export type Connected = { kind: "connected"; socket: Socket; address: Ip } | { kind: "failed"; code: string };

/** How long one address is tried alone (RFC 8305 §5). */
const staggerMs = 250;
const maxTries = 8;

/**
 * A connection to the first of the addresses that takes one. All were judged before; each is tried when the one before
 * has failed or is late, IPv6 and IPv4 in turn.
 */
export function connectFirst(
  addresses: readonly Ip[],
  port: Port,
  { dial, deadlineMs, signal }: { dial: Dial; deadlineMs: number; signal: AbortSignal },
): Promise<Connected> {
  const waiting = inTurn(addresses).slice(0, maxTries);
  const running = new Set<Socket>();
  return new Promise((resolve) => {
    let code = "ETIMEDOUT";
    let over = false;
    let stagger: NodeJS.Timeout | undefined;
    const end = (result: Connected) => {
      if (over) return;
      over = true;
      clearTimeout(deadline);
      clearTimeout(stagger);
      signal.removeEventListener("abort", abort);
      for (const socket of running) socket.destroy();
      resolve(result);
    };
    const fail = () => end({ kind: "failed", code });
    const abort = () => end({ kind: "failed", code: "ECANCELED" });
    const deadline = setTimeout(fail, deadlineMs);
    const next = () => {
      clearTimeout(stagger);
      const address = waiting.shift();
      if (over) return;
      if (address === undefined) {
        if (running.size === 0) fail();
        return;
      }
      if (waiting.length > 0) stagger = setTimeout(next, staggerMs);
      const socket = dial({ address, port });
      running.add(socket);
      const broken = (error: NodeJS.ErrnoException) => {
        code = error.code ?? "EIO";
        if (running.delete(socket)) next();
      };
      socket.on("error", broken);
      socket.once("connect", () => {
        running.delete(socket);
        socket.off("error", broken);
        socket.on("error", () => {});
        end({ kind: "connected", socket, address });
      });
    };
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    else next();
  });
}

/** RFC 8305 §4: families alternate, IPv6 first. */
function inTurn(addresses: readonly Ip[]): Ip[] {
  const six = addresses.filter((address) => ipFamily(address) === 6);
  const four = addresses.filter((address) => ipFamily(address) === 4);
  const out: Ip[] = [];
  for (let i = 0; i < Math.max(six.length, four.length); i++) out.push(...six.slice(i, i + 1), ...four.slice(i, i + 1));
  return out;
}
