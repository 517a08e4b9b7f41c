import { createSocket } from "node:dgram";
import type { Log } from "../../base/log.ts";
import { isIpv4 } from "../../base/ip.ts";
import { bound, type Place, placeText, type Receive } from "./bind.ts";

/** As much as the kernel allows (net.core.rmem_max) is taken: what waits there while the daemon is busy is not lost. */
const receiveBufferBytes = 4 * 1024 * 1024;

/** A UDP socket on one address, for no one else to share. @throws NexusError when it cannot be bound */
export async function listenUdp(place: Place, receive: Receive, log: Log): Promise<Disposable> {
  const v4 = isIpv4(place.address);
  const socket = createSocket({ type: v4 ? "udp4" : "udp6", ipv6Only: !v4, reuseAddr: false, lookup: asIs });
  let open = true;
  const close = () => {
    if (open) socket.close();
    open = false;
  };
  try {
    await bound(place, "udp", (done, failed) => {
      socket.once("error", failed);
      socket.bind({ address: place.address, port: place.port, exclusive: true }, () => {
        socket.off("error", failed);
        done();
      });
    });
    socket.setRecvBufferSize(receiveBufferBytes);
  } catch (error) {
    close();
    throw error;
  }
  socket.on("error", (error) => log.warn({ place: placeText(place), error: error.message }, "the DNS socket failed"));
  socket.on("message", (request, { address, port }) => {
    // Nothing can be sent to port 0, but a forged packet can come from it.
    if (port === 0) return;
    receive(request, { client: address, transport: "udp" }, (bytes) => {
      if (open) socket.send(bytes, port, address);
    });
  });
  return { [Symbol.dispose]: close };
}

/** Replies go to addresses, and the default look-up would cost each a turn of the event loop. */
function asIs(host: string, _options: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, host, host.includes(":") ? 6 : 4);
}
