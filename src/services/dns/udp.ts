import { createSocket } from "node:dgram";
import type { Clock } from "../../base/clock.ts";
import { isIpv4, parseIp } from "../../base/ip.ts";
import type { Log } from "../../base/log.ts";
import { openDatagram, queueFill, refuseSources } from "../../kernel/datagram.ts";
import { FloodGuard } from "./flood-guard.ts";
import { bindRefusal, bound, type Place, placeText, type Receive } from "./bind.ts";

/** About 2,700 waiting queries: a fifth of a second of a busy network during which the daemon may do something else. */
const receiveBufferBytes = 2 * 1024 * 1024;

export type UdpOptions = { receive: Receive; log: Log; clock: Clock };

/** A UDP socket on one address, for no one else to share, with a guard against floods. @throws NexusError when it cannot be bound */
export async function listenUdp(place: Place, { receive, log, clock }: UdpOptions): Promise<Disposable> {
  using fd = bindDatagram(place);
  const { number } = fd;
  const socket = createSocket({ type: isIpv4(place.address) ? "udp4" : "udp6", lookup: asIs });
  await bound(place, "udp", (done, failed) => {
    socket.once("error", failed);
    socket.bind({ fd: fd.release(), exclusive: true }, () => {
      socket.off("error", failed);
      done();
    });
  });
  const guard = new FloodGuard({
    now: () => clock.monotonic(),
    onBlock: (client, ms) => log.warn({ place: placeText(place), client, ms }, "a client floods DNS; its queries are dropped for a while"),
    socket: {
      queueFill: () => queueFill(number),
      refuse: (clients) =>
        refuseSources(
          number,
          place,
          clients.map(parseIp).filter((client) => client !== undefined),
        ),
    },
  });
  let open = true;
  socket.on("error", (error) => log.warn({ place: placeText(place), error: error.message }, "the DNS socket failed"));
  socket.on("message", (request, { address, port }) => {
    guard.saw(address);
    // Nothing can be sent to port 0, but a forged packet can come from it.
    if (port === 0) return;
    receive(request, { client: address, transport: "udp" }, (bytes) => {
      if (open) socket.send(bytes, port, address);
    });
  });
  return {
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      guard[Symbol.dispose]();
      socket.close();
    },
  };
}

function bindDatagram(place: Place): ReturnType<typeof openDatagram> {
  try {
    return openDatagram(place, receiveBufferBytes);
  } catch (error) {
    throw error instanceof Error ? bindRefusal(error, place, "udp") : error;
  }
}

/** Replies go to addresses, and the default look-up would cost each a turn of the event loop. */
function asIs(host: string, _options: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, host, host.includes(":") ? 6 : 4);
}
