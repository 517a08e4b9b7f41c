import { KernelError, NexusError } from "../../base/errors.ts";
import type { Ip } from "../../base/ip.ts";
import type { Port, Transport } from "../../base/port.ts";
import { systemRefusal } from "../../base/system-error.ts";
import { portHolder } from "./port-holder.ts";

export type Place = { address: Ip; port: Port };

/** A request as a transport delivers it. `reply` may be called later, or never; after the client has gone it does nothing. */
export type Receive = (request: Buffer, from: { client: string; transport: Transport }, reply: (bytes: Buffer) => void) => void;

/** Resolves once the socket listens. @throws NexusError that says why the address and port could not be had */
export function bound(
  place: Place,
  transport: Transport,
  start: (done: () => void, failed: (error: Error) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => start(resolve, (error) => reject(bindRefusal(error, place, transport))));
}

/** `10.0.0.1:53`, `[fd00::1]:53`. */
export function placeText({ address, port }: Place): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The error as its reader needs it. */
export function bindRefusal(error: Error & { code?: string }, place: Place, transport: Transport): NexusError {
  const what = `DNS on ${placeText(place)}/${transport}`;
  switch (error instanceof KernelError ? error.errno : error.code) {
    case "EADDRINUSE": {
      const holder = portHolder(place.address, place.port, transport) ?? "another program";
      return new NexusError("port-taken", `${what}: the port is used by ${holder}`, {
        hint: `stop ${holder}, or keep it from listening on every address`,
        cause: error,
      });
    }
    case "EADDRNOTAVAIL":
      return new NexusError("wrong-state", `${what}: no interface of this host has the address`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new NexusError("not-permitted", `${what}: ports below 1024 need CAP_NET_BIND_SERVICE`, { cause: error });
    default:
      return systemRefusal(error, what) ?? new NexusError("kernel-refused", `${what}: ${error.message}`, { cause: error });
  }
}
